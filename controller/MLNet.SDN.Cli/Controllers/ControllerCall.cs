using System.CommandLine;
using System.CommandLine.Parsing;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Cli.Controllers;

/// <summary>What all commands share that talk to a running controller: its address, JSON instead of text, and one sentence for each way it can fail.</summary>
internal sealed class ControllerCall
{
    /// <summary>Exit code of whatever was refused or could not be asked.</summary>
    public const int Failed = 1;

    private readonly Option<Uri> controller = new("--controller")
    {
        Description = "Address of the controller; MLNET_CONTROLLER where it is set.",
        DefaultValueFactory = r => Address(r, Environment.GetEnvironmentVariable("MLNET_CONTROLLER") is { Length: > 0 } set ? set : "http://127.0.0.1:8080"),
        CustomParser = r => Address(r, r.Tokens[0].Value),
        Recursive = true,
    };

    private readonly Option<bool> json = new("--json") { Description = "Prints the whole answer as JSON.", Recursive = true };

    /// <summary>Gives a command and all below it the options.</summary>
    public void AddTo(Command command)
    {
        command.Options.Add(controller);
        command.Options.Add(json);
    }

    /// <summary>Asks, and prints the answer or why there is none.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="ask">Sends the request.</param>
    /// <param name="type">The answer's.</param>
    /// <param name="print">Writes the answer for people.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The exit code.</returns>
    public async Task<int> AskAsync<T>(
        ParseResult parsed, Func<HttpClient, Task<HttpResponseMessage>> ask, JsonTypeInfo<T> type, Action<T, TextWriter> print, CancellationToken cancellationToken)
        where T : class
    {
        var address = parsed.GetValue(controller)!;
        var (output, error) = (parsed.InvocationConfiguration.Output, parsed.InvocationConfiguration.Error);
        using var client = new HttpClient { BaseAddress = new(address.AbsoluteUri.TrimEnd('/') + '/'), Timeout = TimeSpan.FromSeconds(60) };
        try
        {
            using var answer = await ask(client);
            using var document = JsonDocument.Parse(await answer.Content.ReadAsByteArrayAsync(cancellationToken));
            if (!answer.IsSuccessStatusCode)
            {
                await error.WriteLineAsync(PrintableText.Of($"{Text(document.RootElement, "title") ?? $"{address} answered {(int)answer.StatusCode}"}{(Text(document.RootElement, "detail") is { } detail ? $": {detail}" : "")}"));
                return Failed;
            }

            if (parsed.GetValue(json))
            {
                await output.WriteLineAsync(document.RootElement.GetRawText());
            }
            else
            {
                print(document.Deserialize(type) ?? throw new JsonException("The answer is null."), output);
            }

            return 0;
        }
        catch (NullReferenceException)
        {
            // An answer of the right shape that leaves out what every controller says.
            await error.WriteLineAsync($"{address} answers, but not as a controller does; check --controller.");
            return Failed;
        }
        catch (Exception fault) when (fault is HttpRequestException or JsonException || (fault is TaskCanceledException && !cancellationToken.IsCancellationRequested))
        {
            await error.WriteLineAsync(fault is JsonException
                ? $"{address} answers, but not as a controller does; check --controller."
                : $"{address} cannot be reached ({fault.Message}); check --controller, and that the controller runs.");
            return Failed;
        }
    }

    /// <summary>Sends the content of a file.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="path">JSON; <c>-</c> for standard input.</param>
    /// <param name="uri">Where to.</param>
    /// <param name="type">The answer's.</param>
    /// <param name="print">Writes the answer for people.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public async Task<int> PostFileAsync<T>(ParseResult parsed, string path, string uri, JsonTypeInfo<T> type, Action<T, TextWriter> print, CancellationToken cancellationToken)
        where T : class
    {
        if ((path == "-" ? InputFile.Read(Console.OpenStandardInput(), "standard input", out var why) : InputFile.Read(path, out why)) is not { } body)
        {
            await parsed.InvocationConfiguration.Error.WriteLineAsync(why);
            return Failed;
        }

        using var content = new ByteArrayContent(body) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };
        return await AskAsync(parsed, client => client.PostAsync(uri, content, cancellationToken), type, print, cancellationToken);
    }

    private static Uri Address(ArgumentResult result, string text)
    {
        if (Uri.TryCreate(text, UriKind.Absolute, out var address) && (address.Scheme is "http" or "https"))
        {
            return address;
        }

        result.AddError($"'{text}' is no address of a controller: --controller, or MLNET_CONTROLLER, must be one such as http://controller:8080.");
        return null!;
    }

    private static string? Text(JsonElement of, string name) => of.ValueKind == JsonValueKind.Object && of.TryGetProperty(name, out var value) ? value.ToString() : null;
}
