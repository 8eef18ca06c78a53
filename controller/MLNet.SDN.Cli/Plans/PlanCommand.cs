using System.CommandLine;
using System.CommandLine.Parsing;
using System.Net.Http.Headers;
using System.Text.Json;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Cli.Plans;

/// <summary><c>mlnetctl plan explain JOB</c> and <c>mlnetctl plan preview FILE</c>: questions to a running controller, which change nothing.</summary>
internal static class PlanCommand
{
    private const int Failed = 1;

    public static Command Create()
    {
        var controller = new Option<Uri>("--controller")
        {
            Description = "Address of the controller; MLNET_CONTROLLER where it is set.",
            DefaultValueFactory = r => Address(r, Environment.GetEnvironmentVariable("MLNET_CONTROLLER") is { Length: > 0 } set ? set : "http://127.0.0.1:8080"),
            CustomParser = r => Address(r, r.Tokens[0].Value),
            Recursive = true,
        };
        var json = new Option<bool>("--json") { Description = "Prints the whole answer as JSON.", Recursive = true };
        var job = new Argument<string>("JOB") { Description = "Name or number of a job that runs." };
        var explain = new Command("explain", "Says why a job runs as it does.") { job };
        explain.SetAction((parsed, cancellationToken) => AskAsync(
            parsed.GetValue(controller)!, client => client.GetAsync($"api/v1/jobs/{Uri.EscapeDataString(parsed.GetValue(job)!)}/explanation", cancellationToken), parsed.GetValue(json), cancellationToken));

        var file = new Argument<string>("FILE") { Description = "The job as it would be submitted, JSON; '-' for standard input." };
        var preview = new Command("preview", "Says what would happen if a job were submitted: its plan, its gain, and what others lose.") { file };
        preview.SetAction(async (parsed, cancellationToken) =>
        {
            byte[] body;
            try
            {
                body = await ReadAsync(parsed.GetValue(file)!, cancellationToken);
            }
            catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
            {
                await Console.Error.WriteLineAsync($"{parsed.GetValue(file)}: {fault.Message}");
                return Failed;
            }

            return await AskAsync(parsed.GetValue(controller)!, client => client.PostAsync("api/v1/plans/preview", Json(body), cancellationToken), parsed.GetValue(json), cancellationToken);
        });
        return new Command("plan", "Asks a running controller about its plans.") { controller, json, explain, preview };
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

    private static ByteArrayContent Json(byte[] body)
    {
        var content = new ByteArrayContent(body);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        return content;
    }

    private static async Task<byte[]> ReadAsync(string path, CancellationToken cancellationToken)
    {
        if (path != "-")
        {
            return await File.ReadAllBytesAsync(path, cancellationToken);
        }

        using var all = new MemoryStream();
        await using var input = Console.OpenStandardInput();
        await input.CopyToAsync(all, cancellationToken);
        return all.ToArray();
    }

    private static async Task<int> AskAsync(Uri controller, Func<HttpClient, Task<HttpResponseMessage>> ask, bool whole, CancellationToken cancellationToken)
    {
        using var client = new HttpClient { BaseAddress = new(controller.AbsoluteUri.TrimEnd('/') + '/'), Timeout = TimeSpan.FromSeconds(60) };
        try
        {
            using var answer = await ask(client);
            using var document = JsonDocument.Parse(await answer.Content.ReadAsByteArrayAsync(cancellationToken));
            var root = document.RootElement;
            if (!answer.IsSuccessStatusCode)
            {
                await Console.Error.WriteLineAsync($"{Text(root, "title") ?? $"{controller} answered {(int)answer.StatusCode}"}: {Text(root, "detail")}");
                return Failed;
            }

            // The fields are those of PlanExplanation and PlanPreview: both say everything in one text.
            Console.WriteLine(whole ? root.GetRawText() : Text(root, JsonNamingPolicy.CamelCase.ConvertName(nameof(PlanExplanation.Text))));
            return 0;
        }
        catch (Exception fault) when (fault is HttpRequestException or JsonException || (fault is TaskCanceledException && !cancellationToken.IsCancellationRequested))
        {
            await Console.Error.WriteLineAsync(fault is JsonException
                ? $"{controller} answers, but not as a controller does; check --controller."
                : $"{controller} cannot be reached ({fault.Message}); check --controller, and that the controller runs.");
            return Failed;
        }
    }

    private static string? Text(JsonElement of, string name) => of.ValueKind == JsonValueKind.Object && of.TryGetProperty(name, out var value) ? value.ToString() : null;
}
