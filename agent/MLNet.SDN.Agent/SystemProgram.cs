using System.ComponentModel;
using System.Diagnostics;
using System.Text;

namespace MLNet.SDN.Agent;

/// <summary>A program of the system that changes the kernel for us, <c>nft</c> or <c>tc</c>; runs in the network namespace of this process.</summary>
internal sealed class SystemProgram
{
    // Ten thousand rules load in well under a second; longer than this, something is stuck.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private static readonly string[] UsualDirectories = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

    private readonly string name;
    private readonly string? path;

    /// <summary>Finds the program on PATH or where distributions put it.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="path">Where it is; null to look for it.</param>
    public SystemProgram(string name, string? path = null) => (this.name, this.path) = (name, path ?? Find(name));

    /// <summary>What came of a run.</summary>
    /// <param name="ExitCode">Null when it could not be run or did not finish.</param>
    /// <param name="Output">Standard output.</param>
    /// <param name="Error">Standard error, or why it could not be run.</param>
    public sealed record Result(int? ExitCode, string Output, string Error)
    {
        /// <summary>Exit code 0.</summary>
        public bool Succeeded => ExitCode == 0;
    }

    /// <summary>Runs it.</summary>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="input">Its standard input; null for none.</param>
    /// <param name="cancellationToken">Ends the program.</param>
    public async Task<Result> RunAsync(IEnumerable<string> arguments, string? input, CancellationToken cancellationToken)
    {
        if (path is null)
        {
            return new Result(null, "", $"{name} is not installed");
        }

        var start = new ProcessStartInfo(path, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardInputEncoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false),
        };
        start.Environment["LC_ALL"] = "C";
        Process process;
        try
        {
            process = Process.Start(start)!;
        }
        catch (Win32Exception exception)
        {
            return new Result(null, "", $"{path}: {exception.Message}");
        }

        using (process)
        {
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            deadline.CancelAfter(Patience);
            try
            {
                var output = process.StandardOutput.ReadToEndAsync(deadline.Token);
                var error = process.StandardError.ReadToEndAsync(deadline.Token);
                await WriteInputAsync(process, input, deadline.Token);
                await process.WaitForExitAsync(deadline.Token);
                return new Result(process.ExitCode, await output, (await error).Trim());
            }
            catch (OperationCanceledException)
            {
                process.Kill(entireProcessTree: true);
                cancellationToken.ThrowIfCancellationRequested();
                return new Result(null, "", $"{path} did not finish within {Patience.TotalSeconds} s");
            }
        }
    }

    private static async Task WriteInputAsync(Process process, string? input, CancellationToken cancellationToken)
    {
        try
        {
            await process.StandardInput.WriteAsync(input.AsMemory(), cancellationToken);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It ended without reading: its exit code and error say why.
        }
    }

    private static string? Find(string name) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':', StringSplitOptions.RemoveEmptyEntries)
            .Concat(UsualDirectories).Select(directory => Path.Combine(directory, name)).FirstOrDefault(File.Exists);
}
