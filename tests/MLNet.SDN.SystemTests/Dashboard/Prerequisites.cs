namespace MLNet.SDN.SystemTests.Dashboard;

/// <summary>What the tests of the page need of the machine: they skip without it, and fail on CI.</summary>
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

    /// <summary>Skips the test where the page cannot be shown.</summary>
    public static void RequirePage()
    {
        Require(File.Exists(Chromium), "Chromium is missing: apt-get install chromium.");
        Require(File.Exists(Path.Combine(WebRoot, "index.html")), "The dashboard is not built: npm ci --prefix controller/dashboard && npm run build --prefix controller/dashboard.");
    }

    /// <summary>Skips with the reason, or fails on CI.</summary>
    public static void Require(bool met, string reason)
    {
        if (!met && Environment.GetEnvironmentVariable("CI") == "true")
        {
            Assert.Fail(reason);
        }

        Assert.SkipUnless(met, reason);
    }

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
