using System.IO.Compression;

namespace MLNet.SDN.Agent.Queues;

/// <summary>Queueing disciplines by which a ladder could be served, as far as the running kernel was built with them.</summary>
/// <remarks>
/// Used is HTB alone: it gives every class a floor and the rest in strict order. prio has no floors, so that a low class can starve, and ets serves its classes below the strict ones by
/// weight only (tc-prio(8), tc-ets(8)).
/// </remarks>
internal static class QueueDisciplines
{
    /// <summary>The one that is used where the kernel has it.</summary>
    public const string Used = "htb";

    private static readonly (string Name, string Option)[] Known = [("ets", "CONFIG_NET_SCH_ETS"), ("htb", "CONFIG_NET_SCH_HTB"), ("prio", "CONFIG_NET_SCH_PRIO")];

    /// <summary>Reads what the kernel was built with.</summary>
    /// <param name="files">Where its configuration may be, the first that is there counts; null for the usual places.</param>
    /// <returns>Names, in order; null where nothing tells.</returns>
    public static IReadOnlyList<string>? Detect(IReadOnlyList<string>? files = null)
    {
        foreach (var path in files ?? ["/proc/config.gz", $"/boot/config-{Release()}", $"/lib/modules/{Release()}/config"])
        {
            try
            {
                using var file = File.OpenRead(path);
                using Stream plain = path.EndsWith(".gz", StringComparison.Ordinal) ? new GZipStream(file, CompressionMode.Decompress) : file;
                using var reader = new StreamReader(plain);
                var set = new HashSet<string>(StringComparer.Ordinal);
                while (reader.ReadLine() is { } line)
                {
                    // Built in, or a module that tc loads by naming it.
                    if (line.EndsWith("=y", StringComparison.Ordinal) || line.EndsWith("=m", StringComparison.Ordinal))
                    {
                        set.Add(line[..^2]);
                    }
                }

                return [.. Known.Where(k => set.Contains(k.Option)).Select(k => k.Name)];
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or InvalidDataException)
            {
                // Not here, or not for us.
            }
        }

        return null;
    }

    private static string Release()
    {
        try
        {
            return File.ReadAllText("/proc/sys/kernel/osrelease").Trim();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }
}
