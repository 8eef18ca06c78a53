using System.Diagnostics;
using System.Text.Json;
using System.Threading.Channels;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>A run of a script of this folder, with the Python library. It says what happens in lines of JSON.</summary>
internal sealed class PythonTraining : IDisposable
{
    private readonly Process _process;
    private readonly Channel<string> _lines = Channel.CreateUnbounded<string>();
    private readonly List<string> _errors = [];

    public PythonTraining(string script, string what, string arguments)
    {
        var start = new ProcessStartInfo("/usr/bin/python3", [Path.Combine(AppContext.BaseDirectory, "Aggregation", script), what, arguments])
        {
            RedirectStandardOutput = true, RedirectStandardError = true,
        };
        start.Environment["PYTHONPATH"] = Path.Combine(Root(), "agent", "python");
        start.Environment["PYTHONDONTWRITEBYTECODE"] = "1";
        start.Environment["OPENBLAS_NUM_THREADS"] = "1";
        _process = new Process { StartInfo = start };
        _process.OutputDataReceived += (_, line) => _ = line.Data is null ? _lines.Writer.TryComplete() : _lines.Writer.TryWrite(line.Data);
        _process.ErrorDataReceived += (_, line) => Note(line.Data);
        _process.Start();
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public static void SkipUnlessThere() => Assert.SkipUnless(
        Directory.Exists("/usr/lib/python3/dist-packages/numpy") || Environment.GetEnvironmentVariable("CI") == "true", "numpy is missing for /usr/bin/python3: apt-get install python3-numpy.");

    /// <summary>Waits for a line of a kind; a minute at most.</summary>
    public async Task<JsonElement> SaysAsync(Predicate<JsonElement> kind)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(TimeSpan.FromMinutes(1));
        while (await _lines.Reader.WaitToReadAsync(patience.Token))
        {
            while (_lines.Reader.TryRead(out var line))
            {
                var said = JsonDocument.Parse(line).RootElement;
                if (kind(said))
                {
                    return said;
                }
            }
        }

        await _process.WaitForExitAsync(patience.Token);
        throw new InvalidOperationException($"the script ended with {_process.ExitCode} before: {Errors()}");
    }

    /// <summary>Waits for the script's failure, and returns what it said.</summary>
    public async Task<string> FailsAsync()
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(TimeSpan.FromMinutes(1));
        await _process.WaitForExitAsync(patience.Token);
        Assert.NotEqual(0, _process.ExitCode);
        return Errors();
    }

    public void Kill() => _process.Kill();

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        _process.WaitForExit();
        _process.Dispose();
    }

    private static string Root()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!Directory.Exists(Path.Combine(folder!.FullName, "agent", "python")))
        {
            folder = folder.Parent;
        }

        return folder.FullName;
    }

    private void Note(string? line)
    {
        if (line is not null)
        {
            lock (_errors)
            {
                _errors.Add(line);
            }
        }
    }

    private string Errors()
    {
        lock (_errors)
        {
            return string.Join('\n', _errors);
        }
    }
}
