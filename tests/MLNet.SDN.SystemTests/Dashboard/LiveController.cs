using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.SystemTests.Dashboard;

/// <summary>A controller process of its own on a loopback port, which it keeps when it is killed and started again. Its state is in memory.</summary>
internal sealed class LiveController : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _folder = Directory.CreateTempSubdirectory("mlnet-dashboard-").FullName;
    private readonly HttpClient _http;
    private readonly List<string> _log = [];
    private Process? _process;

    private LiveController(Topology topology, string? managementAddress)
    {
        Topology = topology;
        ForAgents = managementAddress is null ? Address : new UriBuilder(Address) { Host = managementAddress }.Uri;
        File.WriteAllText(TopologyFile, JsonSerializer.Serialize(topology, ContractsJson.Default.Topology));
        if (managementAddress is not null)
        {
            File.WriteAllText(AgentTokenFile, Convert.ToHexString(System.Security.Cryptography.RandomNumberGenerator.GetBytes(32)));
            File.SetUnixFileMode(AgentTokenFile, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        }

        _http = new() { BaseAddress = Address };
    }

    /// <summary>Where it listens.</summary>
    public Uri Address { get; } = new($"http://127.0.0.1:{FreePort()}/");

    /// <summary>Where it listens for agents; <see cref="Address"/> unless they are in other namespaces.</summary>
    public Uri ForAgents { get; }

    /// <summary>The fabric that it serves.</summary>
    public Topology Topology { get; }

    /// <summary>What agents in other namespaces prove themselves with.</summary>
    public string AgentTokenFile => Path.Combine(_folder, "agent.token");

    private string TopologyFile => Path.Combine(_folder, "topology.json");

    /// <summary>Two pods of two racks of four hosts, 20 Mbit/s at the hosts, 4:1 at the racks.</summary>
    public static FabricShape SmallFabric { get; } = FatTree.Shape(4, 20, rackOversubscription: 4, hostsPerRack: 4, pods: 2);

    /// <summary>Starts one that leads.</summary>
    /// <param name="topology">Of a small fat-tree when null.</param>
    /// <param name="managementAddress">Where it listens besides loopback.</param>
    public static async Task<LiveController> StartAsync(Topology? topology = null, string? managementAddress = null)
    {
        var controller = new LiveController(topology ?? FatTree.Build(SmallFabric), managementAddress);
        try
        {
            await controller.StartProcessAsync();
            return controller;
        }
        catch
        {
            await controller.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts the process again after <see cref="KillAsync"/>.</summary>
    public async Task StartProcessAsync()
    {
        var start = new ProcessStartInfo("dotnet")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = _folder,
            ArgumentList =
            {
                Path.Combine(AppContext.BaseDirectory, "mlnet-controller.dll"), $"--urls={string.Join(';', ((Uri[])[Address, ForAgents]).Distinct().Select(a => a.GetLeftPart(UriPartial.Authority)))}",
                $"--Controller:Topology={TopologyFile}", $"--Controller:WebRoot={Prerequisites.WebRoot}", "--Controller:Instance=dashboard-test",
            },
        };
        if (File.Exists(AgentTokenFile))
        {
            start.ArgumentList.Add($"--Controller:AgentTokenFile={AgentTokenFile}");
        }

        var process = new Process { StartInfo = start };
        process.OutputDataReceived += (_, line) => Log(line.Data);
        process.ErrorDataReceived += (_, line) => Log(line.Data);
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        _process = process;
        var deadline = Stopwatch.StartNew();
        while (!await IsLeadingAsync())
        {
            if (process.HasExited || deadline.Elapsed > Patience)
            {
                throw new InvalidOperationException($"The controller does not lead (exited: {process.HasExited}). It said:\n{LogText()}");
            }

            await Task.Delay(100);
        }
    }

    /// <summary>Ends the process without a word to anybody.</summary>
    public async Task KillAsync()
    {
        if (_process is { } process)
        {
            _process = null;
            process.Kill();
            await process.WaitForExitAsync();
            process.Dispose();
        }
    }

    /// <summary>Submits a job.</summary>
    public async Task<JobView> SubmitAsync(JobSpec spec)
    {
        using var response = await _http.PostAsJsonAsync("api/v1/jobs", spec, ContractsJson.Default.JobSpec);
        var body = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, $"{response.StatusCode}: {body}");
        return JsonSerializer.Deserialize(body, ContractsJson.Default.JobView)!;
    }

    /// <summary>A job as it is now.</summary>
    public async Task<JobView> GetJobAsync(string name) => (await _http.GetFromJsonAsync($"api/v1/jobs/{name}", ContractsJson.Default.JobView))!;

    /// <summary>Withdraws a job.</summary>
    public async Task CancelAsync(string name)
    {
        using var response = await _http.DeleteAsync(new Uri($"api/v1/jobs/{name}", UriKind.Relative));
        Assert.True(response.IsSuccessStatusCode, response.StatusCode.ToString());
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        _http.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private async Task<bool> IsLeadingAsync()
    {
        try
        {
            using var response = await _http.GetAsync(new Uri("healthz", UriKind.Relative));
            return response.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    private void Log(string? line)
    {
        lock (_log)
        {
            _log.Add(line ?? "");
        }
    }

    private string LogText()
    {
        lock (_log)
        {
            return string.Join('\n', _log);
        }
    }
}
