using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.SignalR;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Agents;
using MLNet.SDN.Controller.Discovery;
using MLNet.SDN.Controller.Flows;
using MLNet.SDN.Controller.History;
using MLNet.SDN.Controller.Jobs;
using MLNet.SDN.Controller.Plans;
using MLNet.SDN.Controller.Postgres;
using MLNet.SDN.Controller.Rest;
using MLNet.SDN.Controller.Security;
using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Controller.Hosting;

/// <summary>Puts the process together.</summary>
internal static class ControllerApp
{
    // A report of FlowReport.MaxRecords records of about 500 bytes each.
    private const long MaxAgentMessageBytes = 4 << 20;
    private const long MaxLiveMessageBytes = 16_384;

    /// <summary>Reads configuration: appsettings.json, the file named by <c>--config</c>, environment (<c>MLNET_CONTROLLER__…</c>), command line; later ones win.</summary>
    public static WebApplicationBuilder CreateBuilder(string[] args)
    {
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });
        builder.Logging.AddSimpleConsole(o => (o.SingleLine, o.UseUtcTimestamp, o.TimestampFormat) = (true, true, "yyyy-MM-ddTHH:mm:ss.fffZ "));
        if (builder.Configuration["config"] is { Length: > 0 } file)
        {
            builder.Configuration.AddJsonFile(Path.GetFullPath(file), optional: false);
        }

        builder.Configuration.AddEnvironmentVariables("MLNET_CONTROLLER__");
        builder.Configuration.AddCommandLine(args);

        // Six lines for every request would hide what operators look for; Logging:LogLevel:Microsoft.AspNetCore brings them back.
        if (builder.Configuration["Logging:LogLevel:Microsoft.AspNetCore"] is null)
        {
            builder.Logging.AddFilter("Microsoft.AspNetCore", LogLevel.Warning);
        }

        return builder;
    }

    /// <summary>Builds the process; inert until started.</summary>
    public static WebApplication Build(WebApplicationBuilder builder)
    {
        var services = builder.Services;
        ConfigurationCheck.AddOptions(services, builder.Configuration);
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton<OperatorWarnings>();
        services.AddSingleton(s => new PolicyComposer(s.GetRequiredService<IOptions<PlanningOptions>>().Value, PriorityLadder.Standard));
        services.AddSingleton<ControlPlane>();
        services.AddSingleton<JobProgress>();
        services.AddSingleton<JobViews>();
        services.AddSingleton<DiscoveryReports>();
        services.AddSingleton<AgentRegistry>();
        services.AddSingleton<AgentGate>();
        services.AddSingleton<LiveFlows>();
        services.AddSingleton<PathVerification>();
        services.AddSingleton<RemarkingSwitches>();
        services.AddSingleton<FlowIntake>();
        services.AddSingleton<LiveSnapshots>();
        AddStores(services, builder.Configuration);

        // Started in this order, stopped in the reverse one: leadership first, so that requests find a leader.
        services.AddSingleton<Leadership>().AddHostedService(s => s.GetRequiredService<Leadership>());
        if (services.Any(s => s.ServiceType == typeof(FlowHistoryWriter)))
        {
            services.AddHostedService(s => s.GetRequiredService<FlowHistoryWriter>());
        }

        services.AddHostedService<JobUpkeep>();
        services.AddSingleton<DiscoveryUpkeep>().AddHostedService(s => s.GetRequiredService<DiscoveryUpkeep>());
        services.AddSingleton<LiveBroadcast>().AddHostedService(s => s.GetRequiredService<LiveBroadcast>());

        services.ConfigureHttpJsonOptions(o => Configure(o.SerializerOptions));
        services.AddSignalR(o =>
            {
                o.EnableDetailedErrors = false;
                o.KeepAliveInterval = TimeSpan.FromSeconds(5);
                o.ClientTimeoutInterval = TimeSpan.FromSeconds(30);
            })
            .AddHubOptions<AgentHub>(o =>
            {
                o.MaximumReceiveMessageSize = MaxAgentMessageBytes;

                // An acknowledgement must not wait behind a flow report that the database is slow to take.
                o.MaximumParallelInvocationsPerClient = 4;
            })
            .AddHubOptions<LiveHub>(o => o.MaximumReceiveMessageSize = MaxLiveMessageBytes)
            .AddJsonProtocol(o => Configure(o.PayloadSerializerOptions));
        services.AddProblemDetails(o => o.CustomizeProblemDetails = c =>
        {
            // Routing itself refuses other content types, before any endpoint could say why.
            if (c.ProblemDetails is { Status: StatusCodes.Status415UnsupportedMediaType, Detail: null })
            {
                c.ProblemDetails.Detail = $"Content-Type '{c.HttpContext.Request.ContentType}': send 'Content-Type: application/json'.";
            }
        });
        services.AddOpenApi();
        builder.WebHost.ConfigureKestrel(o => o.AddServerHeader = false);

        var app = builder.Build();
        app.UseExceptionHandler(e => e.Run(async context =>
        {
            HostLog.RequestFailed(app.Logger, context.Request.Method, context.Request.Path, context.Features.Get<IExceptionHandlerFeature>()?.Error);
            await TypedResults.Problem("The controller failed; its log says where. Nothing was changed.", statusCode: StatusCodes.Status500InternalServerError).ExecuteAsync(context);
        }));
        app.UseStatusCodePages();
        app.Use(RequestRules.ApplyAsync);
        app.Use(app.Services.GetRequiredService<AgentGate>().ApplyAsync);
        app.MapDashboard(app.Services.GetRequiredService<IOptions<ControllerOptions>>().Value.WebRoot);

        var api = app.MapApi();
        api.MapJobs();
        api.MapPlans();
        api.MapInquiries();
        api.MapAgents();
        api.MapFlows();
        api.MapDiscovery();
        api.MapHistory();
        app.MapOpenApi();
        app.MapHub<AgentHub>(AgentHubMethods.Path);
        app.MapHub<LiveHub>(LiveHubMethods.Path);
        app.MapGet("/healthz", (Leadership leadership, ControlPlane control) => control.Current is null
                ? TypedResults.Json(new { status = leadership.Status }, statusCode: StatusCodes.Status503ServiceUnavailable)
                : TypedResults.Json(new { status = "leading" }))
            .WithTags("health").WithName("Health").WithSummary("200 when this controller leads, else 503 with what it waits for.");
        return app;
    }

    private static void AddStores(IServiceCollection services, ConfigurationManager configuration)
    {
        if (string.IsNullOrWhiteSpace(configuration["Controller:Postgres"]))
        {
            services.TryAddSingleton<IStateStore>(s => new MemoryStateStore(s.GetRequiredService<TimeProvider>()));
            services.AddSingleton<IFlowHistory, NoFlowHistory>();
            return;
        }

        services.AddSingleton(s => new Database(Read(s).Postgres!, Read(s).Instance));
        services.AddSingleton<IStateStore>(s => new PostgresStateStore(s.GetRequiredService<Database>(), Read(s).Instance, Read(s).LeaseTime));
        services.AddSingleton<FlowHistoryWriter>();
        services.AddSingleton<IFlowHistory>(s => s.GetRequiredService<FlowHistoryWriter>());
        services.AddSingleton<FlowHistoryReader>();

        static ControllerOptions Read(IServiceProvider provider) => provider.GetRequiredService<IOptions<ControllerOptions>>().Value;
    }

    private static void Configure(JsonSerializerOptions options)
    {
        // The rules of ContractsJson, so that every record looks the same in REST, hubs and files.
        options.TypeInfoResolverChain.Insert(0, ContractsJson.Default);
        options.PropertyNamingPolicy = JsonNamingPolicy.CamelCase;
        options.PropertyNameCaseInsensitive = false;
        options.DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull;
        options.NumberHandling = JsonNumberHandling.Strict;
        options.RespectNullableAnnotations = true;
        options.RespectRequiredConstructorParameters = true;
    }
}
