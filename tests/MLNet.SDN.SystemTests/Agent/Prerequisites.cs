namespace MLNet.SDN.SystemTests.Agent;

/// <summary>What a machine must have for these tests: where it lacks, they skip and say why; in CI that is a failure.</summary>
internal static class Prerequisites
{
    /// <summary>Root, and the programs named.</summary>
    public static void Require(params string[] programs)
    {
        var missing = programs.Where(p => !Directories().Any(d => File.Exists(Path.Combine(d, p)))).ToList();
        var reason = !Environment.IsPrivilegedProcess ? "needs root, to make network namespaces"
            : missing.Count > 0 ? $"needs {string.Join(", ", missing)}"
            : null;
        if (reason is null)
        {
            return;
        }

        Assert.False(Environment.GetEnvironmentVariable("CI") == "true", $"{reason}, and CI must have it");
        Assert.Skip(reason);
    }

    private static IEnumerable<string> Directories() =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Concat(["/usr/sbin", "/sbin", "/usr/bin"]);
}
