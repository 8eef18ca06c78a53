using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Hosting;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Tests.Controller;

/// <summary>The real controller behind Kestrel on a port of its own, on a fat-tree of two pods: h0-0-0, h0-0-1, h0-1-0 ... h1-1-1.</summary>
internal sealed class ControllerProcess : IAsyncDisposable
{
    private readonly string _folder;

    private ControllerProcess(WebApplication app, string folder)
    {
        (App, _folder) = (app, folder);
        Address = new(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
        Http = new() { BaseAddress = Address };
    }

    public static Topology Topology { get; } = FatTree.Build(FatTree.Shape(k: 4, hostMbps: 100, rackOversubscription: 4, pods: 2));

    public static IReadOnlyList<string> Hosts { get; } = [.. Topology.Nodes.Where(n => n.Kind == NodeKind.Host).Select(n => n.Id).Order(StringComparer.Ordinal)];

    public WebApplication App { get; }

    public Uri Address { get; }

    public HttpClient Http { get; }

    /// <summary>Everything that was logged.</summary>
    public List<string> Log { get; private init; } = [];

    public static Task<ControllerProcess> StartAsync(params string[] args) => StartAsync(_ => { }, args);

    /// <param name="replace">Registers what stands in for parts of the controller.</param>
    public static async Task<ControllerProcess> StartAsync(Action<IServiceCollection> replace, params string[] args)
    {
        var folder = Directory.CreateTempSubdirectory("mlnet-controller-").FullName;
        var topology = Path.Combine(folder, "topology.json");
        await File.WriteAllTextAsync(topology, JsonSerializer.Serialize(Topology, ContractsJson.Default.Topology));
        var builder = ControllerApp.CreateBuilder([$"--Controller:Topology={topology}", .. args]);
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders();
        List<string> log = [];
        builder.Logging.AddProvider(new LogList(log));
        var faults = ConfigurationCheck.FindFaults(builder.Configuration);
        Assert.Empty(faults);
        replace(builder.Services);
        var app = ControllerApp.Build(builder);
        try
        {
            await app.StartAsync();
        }
        catch
        {
            await app.DisposeAsync();
            Directory.Delete(folder, recursive: true);
            throw;
        }

        return new(app, folder) { Log = log };
    }

    public T Get<T>()
        where T : notnull => App.Services.GetRequiredService<T>();

    public async Task<T> GetAsync<T>(string path) =>
        (await Http.GetFromJsonAsync<T>($"/api/v1/{path}", ContractsJson.Default.Options, TestContext.Current.CancellationToken))!;

    public Task<HttpResponseMessage> SubmitAsync(JobSpec spec) =>
        Http.PostAsJsonAsync("/api/v1/jobs", spec, ContractsJson.Default.Options, TestContext.Current.CancellationToken);

    /// <summary>Submits a job that must be accepted.</summary>
    public async Task<JobView> PlaceAsync(string name, params string[] workers)
    {
        using var answer = await SubmitAsync(new() { Name = name, Workers = workers, GradientBytes = 1_000_000, Rounds = 100 });
        Assert.Equal(System.Net.HttpStatusCode.Created, answer.StatusCode);
        return (await answer.Content.ReadFromJsonAsync(ContractsJson.Default.JobView, TestContext.Current.CancellationToken))!;
    }

    /// <summary>Waits until something holds; the wait itself asserts nothing about time.</summary>
    public static async Task UntilAsync(Func<Task<bool>> holds, string what)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (!await holds())
        {
            Assert.False(patience.IsCancellationRequested, $"never happened: {what}");
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }
    }

    public static Task UntilAsync(Func<bool> holds, string what) => UntilAsync(() => Task.FromResult(holds()), what);

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await App.StopAsync();
        await App.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    private sealed class LogList(List<string> lines) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            lock (lines)
            {
                lines.Add($"{logLevel} {eventId.Id} {formatter(state, exception)} {exception}");
            }
        }

        public void Dispose()
        {
        }
    }
}
