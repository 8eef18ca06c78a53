using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Options;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.Agents;
using MLNet.SDN.Controller.Hosting;

namespace MLNet.SDN.Controller.Security;

/// <summary>Lets connections to the agent hub through that bear the token. Thread-safe.</summary>
/// <remarks>Without a token only agents of this machine are served, unless the operator allows all: a policy holds the secrets of its jobs.</remarks>
internal sealed class AgentGate
{
    private readonly byte[]? _tokenHash;
    private readonly bool _allowAll;
    private readonly ILogger<AgentGate> _logger;
    private long _turnedAway;

    /// <exception cref="InvalidDataException">The token's file was changed to something unusable after the configuration was checked.</exception>
    public AgentGate(IOptions<ControllerOptions> options, ILogger<AgentGate> logger)
    {
        var token = options.Value.AgentToken;
        if (options.Value.AgentTokenFile is { Length: > 0 } file && BearerToken.Read(file, out token) is { } fault)
        {
            throw new InvalidDataException($"Controller:AgentTokenFile '{file}' {fault}");
        }

        _tokenHash = string.IsNullOrEmpty(token) ? null : Hash(token);
        _allowAll = options.Value.AllowUnauthenticatedAgents;
        _logger = logger;
        if (_tokenHash is null)
        {
            AgentLog.NoToken(logger, _allowAll
                ? "Controller:AllowUnauthenticatedAgents lets all of them in, from everywhere."
                : "Only agents that connect over a loopback address are served; set a token, or Controller:AllowUnauthenticatedAgents=true on a network that nobody else reaches.");
        }
    }

    /// <summary>Answers requests that may not pass.</summary>
    public async Task ApplyAsync(HttpContext context, RequestDelegate next)
    {
        if (!context.Request.Path.StartsWithSegments(AgentHubMethods.Path) || Refuse(context) is not { } refusal)
        {
            await next(context);
            return;
        }

        var count = Interlocked.Increment(ref _turnedAway);
        if (long.IsPow2(count))
        {
            AgentLog.TurnedAway(_logger, $"{context.Connection.RemoteIpAddress}:{context.Connection.RemotePort}", refusal.Reason, count);
        }

        if (refusal.Status == StatusCodes.Status401Unauthorized)
        {
            context.Response.Headers.WWWAuthenticate = "Bearer";
        }

        await TypedResults.Problem(refusal.Reason, statusCode: refusal.Status).ExecuteAsync(context);
    }

    private (int Status, string Reason)? Refuse(HttpContext context)
    {
        if (_tokenHash is null)
        {
            // An in-memory server has no addresses and no network either.
            return _allowAll || context.Connection.LocalIpAddress is not { } address || IPAddress.IsLoopback(address)
                ? null
                : (StatusCodes.Status403Forbidden, "This controller has no Controller:AgentTokenFile, so it serves agents on loopback addresses only.");
        }

        const string Scheme = "Bearer ";
        var given = context.Request.Headers.Authorization.ToString();
        if (!given.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase))
        {
            return (StatusCodes.Status401Unauthorized, "The agent gives no token; set its Agent:TokenFile.");
        }

        // Hashes are of one length, so the time of the comparison tells nothing of the token.
        return CryptographicOperations.FixedTimeEquals(Hash(given[Scheme.Length..]), _tokenHash)
            ? null
            : (StatusCodes.Status401Unauthorized, "The agent's token is not the one of this controller.");
    }

    private static byte[] Hash(string token) => SHA256.HashData(Encoding.UTF8.GetBytes(token));
}
