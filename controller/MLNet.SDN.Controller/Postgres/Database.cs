using MLNet.SDN.Controller.State;
using Npgsql;

namespace MLNet.SDN.Controller.Postgres;

/// <summary>Connections to the database: policy and history have pools of their own, so that flow records never hold up a change of policy.</summary>
internal sealed class Database : IAsyncDisposable
{
    /// <param name="connectionString">As configured; what it sets wins over what is set here.</param>
    /// <param name="instance">Named in pg_stat_activity.</param>
    public Database(string connectionString, string instance)
    {
        Policy = Create(connectionString, $"mlnet-controller {instance}", 8);
        History = Create(connectionString, $"mlnet-controller {instance} history", 4);
    }

    /// <summary>For desired state.</summary>
    public NpgsqlDataSource Policy { get; }

    /// <summary>For flow records.</summary>
    public NpgsqlDataSource History { get; }

    /// <summary>Runs something against the database; every way in which it can be away becomes one exception.</summary>
    /// <exception cref="StoreUnavailableException">It is away, too slow, or refuses.</exception>
    public static async Task<T> AskAsync<T>(Func<Task<T>> ask, CancellationToken cancellationToken)
    {
        try
        {
            return await ask();
        }
        catch (Exception fault) when (IsAway(fault) || (fault is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            throw new StoreUnavailableException(Describe(fault), fault);
        }
    }

    /// <summary>Whether an exception means that the database is away, too slow, or refuses.</summary>
    public static bool IsAway(Exception fault) => fault is NpgsqlException or TimeoutException or System.Net.Sockets.SocketException or IOException;

    /// <summary>One line, with the inner cause where it says more.</summary>
    public static string Describe(Exception fault) =>
        fault is PostgresException server ? $"{server.MessageText} ({server.SqlState})" : fault.InnerException is { } inner ? $"{fault.Message} {inner.Message}" : fault.Message;

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await Policy.DisposeAsync();
        await History.DisposeAsync();
    }

    private static NpgsqlDataSource Create(string connectionString, string application, int pool)
    {
        var given = new NpgsqlConnectionStringBuilder(connectionString);
        bool Unset(string keyword) => !given.ContainsKey(keyword) || !connectionString.Contains(keyword, StringComparison.OrdinalIgnoreCase);
        if (string.IsNullOrEmpty(given.ApplicationName))
        {
            given.ApplicationName = application;
        }

        if (Unset("Timeout"))
        {
            given.Timeout = 5;
        }

        if (Unset("Command Timeout"))
        {
            given.CommandTimeout = 10;
        }

        if (Unset("Pool Size"))
        {
            given.MaxPoolSize = pool;
        }

        // A process that is stopped in the middle of a transaction must not keep the lease's row locked.
        given.Options = $"{given.Options} -c idle_in_transaction_session_timeout=10s -c timezone=UTC".Trim();
        return new NpgsqlDataSourceBuilder(given.ConnectionString).Build();
    }
}
