using System.Text.Json;

namespace MLNet.SDN.Benchmarks;

/// <summary>What every benchmark says in its last line.</summary>
internal sealed record BenchResult
{
    private static readonly JsonSerializerOptions Line = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase };
    private static readonly JsonSerializerOptions File = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase, WriteIndented = true };

    /// <summary>Its name, as <c>./run bench</c> takes it.</summary>
    public required string Bench { get; init; }

    /// <summary>Our figure.</summary>
    public required double Ours { get; init; }

    /// <summary>The peer's, from the same run; null where there is nothing to compare with.</summary>
    public required double? Peer { get; init; }

    /// <summary>Who the peer is; null without one.</summary>
    public required string? PeerName { get; init; }

    /// <summary>Ours over the peer's; null without one, and then published as <see cref="Worst"/>.</summary>
    public required double? Ratio { get; init; }

    /// <summary>Unit of both.</summary>
    public required string Unit { get; init; }

    /// <summary><c>lower</c> or <c>higher</c>.</summary>
    public required string Better { get; init; }

    /// <summary>Repetitions behind the figures.</summary>
    public required int Runs { get; init; }

    /// <summary>How far the ratio varies over the repetitions.</summary>
    public required double Spread { get; init; }

    /// <summary>The worst row's figure over its limit: at most 1 when every row holds.</summary>
    public required double Worst { get; init; }

    /// <summary>Where the whole table is.</summary>
    public string? Rows { get; init; }

    /// <summary>Writes the table beside the others' and prints the line.</summary>
    /// <param name="state">Directory of everything that <c>./run</c> writes.</param>
    /// <param name="table">All rows; any object that serialises.</param>
    /// <returns>What the process exits with: 0 when every limit holds, else 1.</returns>
    public int Publish(string state, object table)
    {
        var path = Path.Combine(state, "bench", $"{Bench}.json");
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        System.IO.File.WriteAllText(path, JsonSerializer.Serialize(table, File) + "\n");
        Console.WriteLine(JsonSerializer.Serialize(this with { Rows = path, Ratio = Ratio ?? Worst }, Line));
        return Worst <= 1 ? 0 : 1;
    }
}
