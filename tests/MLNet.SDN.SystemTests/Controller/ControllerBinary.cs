using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.SystemTests.Controller;

/// <summary>The controller's binary as an operator starts it, on a fat-tree of two pods.</summary>
internal sealed class ControllerBinary : IAsyncDisposable
{
    private readonly Process _process;
    private readonly string _folder;
    private readonly ConcurrentQueue<string> _output = new();

    private ControllerBinary(Process process, Uri address, string folder)
    {
        (_process, Address, _folder) = (process, address, folder);
        Http = new() { BaseAddress = address };
        process.OutputDataReceived += (_, e) => _output.Enqueue(e.Data ?? "");
        process.ErrorDataReceived += (_, e) => _output.Enqueue(e.Data ?? "");
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public static Topology Topology { get; } = FatTree.Build(FatTree.Shape(k: 4, hostMbps: 100, rackOversubscription: 4, pods: 2));

    public Uri Address { get; }

    public HttpClient Http { get; }

    public Process Process => _process;

    public string Output => string.Join('\n', _output);

    /// <summary>Starts it; does not wait until it answers.</summary>
    public static async Task<ControllerBinary> LaunchAsync(string? postgres, string instance, params string[] more)
    {
        var folder = Directory.CreateTempSubdirectory("mlnet-ctl-").FullName;
        var topology = Path.Combine(folder, "topology.json");
        await File.WriteAllTextAsync(topology, JsonSerializer.Serialize(Topology, ContractsJson.Default.Topology));
        var address = new Uri($"http://127.0.0.1:{FreePort()}");
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "mlnet-controller"), [$"--urls={address}", $"--Controller:Topology={topology}", $"--Controller:Instance={instance}", .. more])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        if (postgres is not null)
        {
            start.Environment["MLNET_CONTROLLER__Controller__Postgres"] = postgres;
        }

        return new(Process.Start(start)!, address, folder);
    }

    /// <summary>Starts it and waits until it leads.</summary>
    public static async Task<ControllerBinary> StartAsync(string? postgres, string instance = "one", params string[] more)
    {
        var controller = await LaunchAsync(postgres, instance, more);
        await UntilAsync(async () => await controller.HealthAsync() == HttpStatusCode.OK, () => $"the controller leads; it said:\n{controller.Output}");
        return controller;
    }

    /// <summary>Answer of /healthz; null when nobody answers.</summary>
    public async Task<HttpStatusCode?> HealthAsync()
    {
        try
        {
            using var answer = await Http.GetAsync("/healthz");
            return answer.StatusCode;
        }
        catch (HttpRequestException)
        {
            return null;
        }
    }

    public async Task<T> GetAsync<T>(string path) =>
        (await Http.GetFromJsonAsync<T>($"/api/v1/{path}", ContractsJson.Default.Options, TestContext.Current.CancellationToken))!;

    public Task<HttpResponseMessage> SubmitAsync(JobSpec spec) =>
        Http.PostAsJsonAsync("/api/v1/jobs", spec, ContractsJson.Default.Options, TestContext.Current.CancellationToken);

    /// <summary>Submits a job that must be accepted.</summary>
    public async Task<JobView> PlaceAsync(string name, params string[] workers)
    {
        using var answer = await SubmitAsync(new() { Name = name, Workers = workers, GradientBytes = 1_000_000, Rounds = 100 });
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        return (await answer.Content.ReadFromJsonAsync(ContractsJson.Default.JobView, TestContext.Current.CancellationToken))!;
    }

    /// <summary>kill -9.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
    }

    public static async Task UntilAsync(Func<Task<bool>> holds, Func<string> what)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!await holds())
        {
            Assert.False(patience.IsCancellationRequested, $"never happened: {what()}");
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static int FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }
}
