using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.Playwright;
using MLNet.SDN.Contracts;
using static Microsoft.Playwright.Assertions;

namespace MLNet.SDN.SystemTests.Dashboard;

/// <summary>The page beside everything else for real: agent processes in network namespaces, workers that call the library, a controller, a browser.</summary>
public sealed class TrainingTests(DashboardBrowser browser) : IClassFixture<DashboardBrowser>
{
    private static readonly LocatorAssertionsToHaveTextOptions Patient = new() { Timeout = 60_000 };

    [Fact(DisplayName = "Dashboard shows live flows of a running job")]
    public async Task Page_JobTrains_ShowsItsFlowsLive()
    {
        Prerequisites.RequirePage();
        Prerequisites.RequireNamespaces("ip", "nft");
        await using var fabric = await TrainingFabric.BuildAsync();
        await using var controller = await LiveController.StartAsync(fabric.Topology, TrainingFabric.ManagementAddress);
        await using var page = await browser.OpenAsync(controller, 1280, 1000);
        foreach (var host in fabric.Hosts)
        {
            fabric.StartAgent(host, controller.ForAgents, controller.AgentTokenFile);
        }

        await Expect(page.Figure("Agents connected")).ToHaveTextAsync("4 of 4", Patient);

        // A picture wants a past to show; the test does not.
        var rounds = Environment.GetEnvironmentVariable("MLNET_SCREENSHOT_DIR") is null ? 40 : 240;
        await controller.SubmitAsync(Spec("mnist-large", fabric.Hosts, elements: 120_000, rounds));
        await controller.SubmitAsync(Spec("mnist-small", fabric.Hosts, elements: 30_000, 2 * rounds));
        await page.WaitAsync("[data-job=mnist-large] .chip", "Placed");
        await page.WaitAsync("[data-job=mnist-small] .chip", "Placed");
        var (large, small) = (await controller.GetJobAsync("mnist-large"), await controller.GetJobAsync("mnist-small"));
        Assert.NotEqual(large.Plan!.Dscp, small.Plan!.Dscp);
        var workers = fabric.Hosts.SelectMany((host, rank) => new[]
        {
            fabric.StartWorker(host, "mnist-large", rank, 120_000, rounds, computeSeconds: 0.1),
            fabric.StartWorker(host, "mnist-small", rank, 30_000, 2 * rounds, computeSeconds: 0.05),
        }).ToList();

        // The job trains, and the page counts its rounds.
        var card = page.Page.Locator("[data-job=mnist-large]");
        await Expect(card.Locator(".chip")).ToHaveTextAsync("Training", Patient);
        await Expect(card).ToContainTextAsync("4 of 4 workers joined", new() { Timeout = 30_000 });
        var before = await card.Locator(".figure-text").TextContentAsync();
        await Expect(card.Locator(".figure-text")).Not.ToHaveTextAsync(before!, Patient);

        // Its flows: between its hosts, at a rate, marked as planned when sent and when they arrive.
        await page.Page.GetByLabel("Job", new() { Exact = true }).SelectOptionAsync("mnist-large");
        var push = page.Page.Locator(".flows tbody tr").Filter(new() { Has = page.Page.GetByRole(AriaRole.Cell, new() { Name = "push", Exact = true }) })
            .Filter(new() { HasTextRegex = new(@"[1-9][\d.]*\s[kM]bit/s") });
        await Expect(push.First).ToBeVisibleAsync(new() { Timeout = 30_000 });
        await Expect(push.First.Locator("td").Nth(2)).ToHaveTextAsync(new Regex(@"^n[0-3]:\d+$"));
        await Expect(push.First.Locator("td").Nth(5)).ToHaveTextAsync(large.Plan.Dscp.ToString(), Patient);
        await Expect(push.First.Locator("td").Nth(6)).ToHaveTextAsync(large.Plan.Dscp.ToString(), Patient);
        await Expect(page.Page.Locator(".flows tbody tr.wrong")).ToHaveCountAsync(0);
        await page.Page.GetByLabel("Job", new() { Exact = true }).SelectOptionAsync("mnist-small");
        await Expect(page.Page.Locator(".flows tbody tr").First).ToContainTextAsync("mnist-small");
        await page.Page.GetByLabel("Job", new() { Exact = true }).SelectOptionAsync("");

        // Its load: on the links between the racks, estimated; on the hosts' links, measured.
        await Expect(page.Page.Locator("[data-link='leaf0 spine'] line.estimated:not(.load-idle)").First).ToBeAttachedAsync(new() { Timeout = 30_000 });
        await Expect(page.Page.Locator("[data-link='n0 leaf0'] line.lane:not(.load-idle):not(.estimated)").First).ToBeAttachedAsync(new() { Timeout = 30_000 });
        await page.WaitRateAsync("mnist-large");

        await PhotographAsync(page);

        // It ends, with the right sum everywhere, and the page says so.
        await Task.WhenAll(workers.Select(w => w.WaitForExitAsync())).WaitAsync(TimeSpan.FromMinutes(5));
        Assert.True(workers.All(w => w.ExitCode == 0), fabric.Output());
        Assert.Equal(workers.Count, fabric.Output().Split('\n').Count(l => l.EndsWith("sum 10 10", StringComparison.Ordinal)));
        await Expect(page.Page.Locator(".ended summary")).ToHaveTextAsync("2 ended", Patient);
        await Expect(page.Page.Locator(".ended")).ToContainTextAsync(string.Create(CultureInfo.InvariantCulture, $"{rounds} rounds"));
        await page.AssertSoundAsync();
    }

    private static async Task PhotographAsync(DashboardPage page)
    {
        if (Environment.GetEnvironmentVariable("MLNET_SCREENSHOT_DIR") is null)
        {
            return;
        }

        await Task.Delay(TimeSpan.FromSeconds(75));
        await page.PhotographAsync("dashboard-light");
        await page.Page.EmulateMediaAsync(new() { ColorScheme = ColorScheme.Dark });
        await page.PhotographAsync("dashboard-dark");
    }

    private static JobSpec Spec(string name, IReadOnlyList<string> workers, int elements, int rounds) =>
        new() { Name = name, Workers = workers, Rounds = rounds, GradientBytes = 4L * elements };
}
