using System.Globalization;
using System.Reflection;
using Dapper;
using MLNet.SDN.Controller.State;
using Npgsql;

namespace MLNet.SDN.Controller.Postgres;

/// <summary>Brings the schema <c>mlnet</c> to this version, in one transaction. Scripts are numbered, run once, and never edited after a release.</summary>
internal static class Migrations
{
    private static readonly IReadOnlyList<Script> Scripts = Load();

    /// <summary>Runs the scripts that the database has not seen.</summary>
    /// <exception cref="StartUpException">The database was used by a newer version, or a script was edited.</exception>
    public static async Task RunAsync(NpgsqlDataSource database, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);

        // Two controllers that start together run the scripts one after the other.
        await connection.ExecuteAsync(new("select pg_advisory_xact_lock(hashtext('mlnet.migration'))", transaction: transaction, cancellationToken: cancellationToken));

        // "create schema if not exists" would ask for the right to create one even where it exists.
        if (await connection.ExecuteScalarAsync<string?>(new("select to_regclass('mlnet.migration')::text", transaction: transaction, cancellationToken: cancellationToken)) is null)
        {
            if (await connection.ExecuteScalarAsync<string?>(new("select to_regnamespace('mlnet')::text", transaction: transaction, cancellationToken: cancellationToken)) is null)
            {
                await connection.ExecuteAsync(new("create schema mlnet", transaction: transaction, cancellationToken: cancellationToken));
            }

            await connection.ExecuteAsync(new(
                "create table mlnet.migration (number int primary key, name text not null, sha256 text not null, applied_at timestamptz not null default now())",
                transaction: transaction, cancellationToken: cancellationToken));
        }

        var applied = (await connection.QueryAsync<Applied>(new("select number, name, sha256 from mlnet.migration", transaction: transaction, cancellationToken: cancellationToken)))
            .ToDictionary(a => a.Number);
        foreach (var unknown in applied.Values.Where(a => Scripts.All(s => s.Number != a.Number)).OrderBy(a => a.Number))
        {
            throw new StartUpException([$"The database has migration {unknown.Number} ({unknown.Name}), which this version does not know: it was used by a newer controller. Start that version, or another database."]);
        }

        foreach (var script in Scripts)
        {
            if (applied.TryGetValue(script.Number, out var known))
            {
                if (known.Sha256 != script.Sha256)
                {
                    throw new StartUpException([$"Migration {script.Name} differs from the one that made this database; a script must not be edited once it was run."]);
                }

                continue;
            }

            await connection.ExecuteAsync(new(script.Sql, transaction: transaction, cancellationToken: cancellationToken));
            await connection.ExecuteAsync(new("insert into mlnet.migration (number, name, sha256) values (@Number, @Name, @Sha256)", script, transaction, cancellationToken: cancellationToken));
        }

        await transaction.CommitAsync(cancellationToken);
    }

    private static List<Script> Load()
    {
        var assembly = Assembly.GetExecutingAssembly();
        List<Script> scripts = [];
        foreach (var name in assembly.GetManifestResourceNames().Where(n => n.EndsWith(".sql", StringComparison.Ordinal)).Order(StringComparer.Ordinal))
        {
            using var reader = new StreamReader(assembly.GetManifestResourceStream(name)!);
            var sql = reader.ReadToEnd().ReplaceLineEndings("\n");
            scripts.Add(new(int.Parse(name.AsSpan(0, 4), NumberStyles.None, CultureInfo.InvariantCulture), name, sql, PolicyComposer.Hash(sql)));
        }

        return scripts;
    }

    private sealed record Script(int Number, string Name, string Sql, string Sha256);

    private sealed record Applied(int Number, string Name, string Sha256);
}
