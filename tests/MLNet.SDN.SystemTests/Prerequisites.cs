namespace MLNet.SDN.SystemTests;

/// <summary>What a test needs of the machine: lacking it skips the test where a person runs it, and fails it where CI does.</summary>
internal static class Prerequisites
{
    /// <summary>Debian's package <c>chromium</c>.</summary>
    public const string Chromium = "/usr/bin/chromium";

    /// <summary>The repository's root.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The page's build output.</summary>
    public static string WebRoot { get; } = Path.Combine(Root, "controller/MLNet.SDN.Controller/wwwroot");

    /// <summary>The accessibility checker, as the page's development packages bring it.</summary>
    public static string Axe { get; } = Path.Combine(Root, "controller/dashboard/node_modules/axe-core/axe.min.js");

    /// <summary>Goes on when it holds.</summary>
    /// <param name="reason">What is lacking and how to get it.</param>
    public static void Require(bool holds, string reason)
    {
        if (holds)
        {
            return;
        }

        if (string.Equals(Environment.GetEnvironmentVariable("CI"), "true", StringComparison.OrdinalIgnoreCase))
        {
            Assert.Fail($"{reason} CI must have it.");
        }

        Assert.Skip(reason);
    }

    /// <summary>Goes on as root, where the programs named are installed.</summary>
    public static void RequireNamespaces(params string[] programs)
    {
        Require(Environment.IsPrivilegedProcess, "Network namespaces need root.");
        var missing = programs.Where(p => !Folders().Any(d => File.Exists(Path.Combine(d, p)))).ToList();
        Require(missing.Count == 0, $"{string.Join(", ", missing)} missing: apt-get install iproute2 nftables util-linux.");
    }

    /// <summary>Goes on where the page can be shown.</summary>
    public static void RequirePage()
    {
        Require(File.Exists(Chromium), "Chromium is missing: apt-get install chromium.");
        Require(File.Exists(Path.Combine(WebRoot, "index.html")), "The dashboard is not built: npm ci --prefix controller/dashboard && npm run build --prefix controller/dashboard.");
    }

    private static IEnumerable<string> Folders() =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Concat(["/usr/sbin", "/sbin", "/usr/bin"]);

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "MLNet.SDN.sln")))
            {
                return folder.FullName;
            }
        }

        throw new DirectoryNotFoundException("MLNet.SDN.sln stands in no folder above the tests.");
    }
}
