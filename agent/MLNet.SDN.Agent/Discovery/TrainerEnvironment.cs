using System.Globalization;

namespace MLNet.SDN.Agent.Discovery;

/// <summary>Which process of a distributed job this is.</summary>
/// <param name="Key">The same for all processes of the job and for no other job of the user.</param>
/// <param name="Name">What the job is called: 1-63 characters of a-z, 0-9, '-', '_' and '.', the first a letter or digit.</param>
/// <param name="Rank">0..WorldSize-1.</param>
/// <param name="WorldSize">Processes of the job, at least 2.</param>
internal sealed record TrainerIdentity(string Key, string Name, int Rank, int WorldSize);

/// <summary>Tells from the environment that launchers give their processes which job a process belongs to. Pure.</summary>
/// <remarks>
/// Sources: PyTorch, <i>torch.distributed</i>, environment variable initialization; Open MPI 4.1, <i>mpirun(1)</i>, "Exported Environment Variables", with the
/// namespace that PMIx gives to a job; Slurm, <i>srun(1)</i>, "Output Environment Variables".
/// </remarks>
internal static class TrainerEnvironment
{
    // No job of one fabric is larger; a greater number is no rank.
    private const int MostRanks = 1 << 20;

    private const int MaxNameLength = 63;

    /// <summary>Every variable that a rule asks for. Nothing else of an environment is ever kept.</summary>
    public static IReadOnlyList<string> Variables { get; } =
    [
        "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
        "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMIX_NAMESPACE",
        "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_PROCID", "SLURM_NTASKS",
    ];

    /// <summary>Tells which job and rank.</summary>
    /// <param name="values">Values of <see cref="Variables"/> that the process has; of others nothing is asked.</param>
    /// <returns>Null when it is no process of a job with several.</returns>
    public static TrainerIdentity? Identify(IReadOnlyDictionary<string, string> values)
    {
        string? Text(string name) => values.TryGetValue(name, out var value) && value.Length > 0 ? value : null;
        var slurm = Text("SLURM_JOB_ID");

        // 1. PyTorch and all that speak its dialect. A store on the loopback address serves one host only: nothing of it crosses a wire.
        if (TryRank("RANK", "WORLD_SIZE", out var rank, out var size) && Text("MASTER_ADDR") is { } address && Text("MASTER_PORT") is { } port
            && address is not "localhost" && !address.StartsWith("127.", StringComparison.Ordinal) && address != "::1")
        {
            return Make($"torch/{slurm}/{address}:{port}", slurm is null ? $"torch-{address}-{port}" : $"slurm-{slurm}");
        }

        // 2. Open MPI.
        if (TryRank("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", out rank, out size) && Text("PMIX_NAMESPACE") is { } space)
        {
            return Make($"ompi/{slurm}/{space}", slurm is null ? $"mpi-{space}" : $"slurm-{slurm}");
        }

        // 3. Whatever srun started.
        if (TryRank("SLURM_PROCID", "SLURM_NTASKS", out rank, out size) && slurm is not null)
        {
            var step = Text("SLURM_STEP_ID") ?? "0";
            return Make($"slurm/{slurm}.{step}", step == "0" ? $"slurm-{slurm}" : $"slurm-{slurm}.{step}");
        }

        return null;

        bool TryRank(string rankName, string sizeName, out int ofRank, out int ofSize)
        {
            ofSize = 0;
            return int.TryParse(Text(rankName), NumberStyles.None, CultureInfo.InvariantCulture, out ofRank)
                && int.TryParse(Text(sizeName), NumberStyles.None, CultureInfo.InvariantCulture, out ofSize)
                && ofSize is >= 2 and <= MostRanks && ofRank < ofSize;
        }

        TrainerIdentity Make(string key, string name) => new(key, JobName(name), rank, size);
    }

    private static string JobName(string text)
    {
        var name = string.Concat(text.ToLowerInvariant().Select(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' ? c : '-'));
        return name.Length <= MaxNameLength ? name : name[..MaxNameLength];
    }
}
