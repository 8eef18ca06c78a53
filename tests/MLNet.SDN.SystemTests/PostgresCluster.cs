using System.Diagnostics;
using System.Globalization;
using Npgsql;

namespace MLNet.SDN.SystemTests;

/// <summary>A private PostgreSQL for a class of tests: made as user postgres in a folder of its own, reached by a Unix socket there, gone afterwards.</summary>
/// <remarks>Use as <c>IClassFixture&lt;PostgresCluster&gt;</c>, and take a database of its own for each test from <see cref="CreateDatabaseAsync"/>.</remarks>
public sealed class PostgresCluster : IAsyncDisposable
{
    private const string User = "postgres";

    private readonly SemaphoreSlim _starting = new(1, 1);
    private string? _folder;
    private int _databases;

    /// <summary>Connection string of the cluster's own database.</summary>
    public string Administration => ConnectionString("postgres");

    private string Folder => _folder ?? throw new InvalidOperationException("Take a database first.");

    private string Data => Path.Combine(Folder, "data");

    private static string? Binaries =>
        Directory.Exists("/usr/lib/postgresql")
            ? Directory.GetDirectories("/usr/lib/postgresql").OrderByDescending(d => int.TryParse(Path.GetFileName(d), NumberStyles.None, CultureInfo.InvariantCulture, out var v) ? v : 0)
                .Select(d => Path.Combine(d, "bin")).FirstOrDefault(d => File.Exists(Path.Combine(d, "initdb")))
            : null;

    /// <summary>Makes an empty database and says how to reach it. Skips the test where there is no PostgreSQL.</summary>
    public async Task<string> CreateDatabaseAsync()
    {
        await StartOnceAsync();
        var name = $"test{Interlocked.Increment(ref _databases)}";
        await using var connection = new NpgsqlConnection(Administration);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand($"create database {name}", connection);
        await command.ExecuteNonQueryAsync();
        return ConnectionString(name);
    }

    /// <summary>Ends the server as a crash would; its clients see it gone.</summary>
    public Task StopAsync() => RunAsync("pg_ctl", "-D", Data, "-m", "immediate", "-w", "stop");

    /// <summary>Starts it again on the same data.</summary>
    public Task StartAsync() => RunAsync(
        "pg_ctl", "-D", Data, "-l", Path.Combine(Folder, "log"), "-w",
        "-o", $"-c listen_addresses='' -c unix_socket_directories='{Folder}' -c fsync=off -c max_connections=50", "start");

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        if (_folder is not null)
        {
            NpgsqlConnection.ClearAllPools();
            try
            {
                await StopAsync();
            }
            catch (InvalidOperationException)
            {
                // A test left it stopped.
            }

            Directory.Delete(_folder, recursive: true);
        }

        _starting.Dispose();
    }

    private string ConnectionString(string database) => $"Host={Folder};Username={User};Database={database}";

    private async Task StartOnceAsync()
    {
        await _starting.WaitAsync();
        try
        {
            if (_folder is not null)
            {
                return;
            }

            Prerequisites.Require(Environment.UserName == "root", "A private PostgreSQL is made as user postgres, which needs root.");
            Prerequisites.Require(Binaries is not null, "PostgreSQL is not installed: apt-get install postgresql.");
            _folder = Directory.CreateTempSubdirectory("mlnet-pg-").FullName;
            await ExecuteAsync("chmod", "755", _folder);
            await ExecuteAsync("chown", User, _folder);
            await RunAsync("initdb", "-D", Data, "-U", User, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C");
            await StartAsync();
        }
        finally
        {
            _starting.Release();
        }
    }

    private static Task RunAsync(string program, params string[] arguments) =>
        ExecuteAsync("runuser", ["-u", User, "--", Path.Combine(Binaries!, program), .. arguments]);

    private static async Task ExecuteAsync(string program, params string[] arguments)
    {
        // Output is not read: pg_ctl hands it on to the server, and whoever reads it waits for the server's end.
        using var process = Process.Start(new ProcessStartInfo("sh", ["-c", "exec \"$@\" >/dev/null 2>&1", "sh", program, .. arguments]) { WorkingDirectory = "/" })!;
        await process.WaitForExitAsync();
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} ended with {process.ExitCode}.");
        }
    }
}
