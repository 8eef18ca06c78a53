using Microsoft.Playwright;
using MLNet.SDN.Contracts;
using static Microsoft.Playwright.Assertions;

namespace MLNet.SDN.SystemTests.Dashboard;

/// <summary>The page in a real browser against a real controller process, which agents report to over the real hub.</summary>
public sealed class DashboardTests(DashboardBrowser browser) : IClassFixture<DashboardBrowser>
{
    private static readonly LocatorAssertionsToHaveTextOptions Patient = new() { Timeout = 30_000 };

    [Fact]
    public async Task Page_WhileJobsTrain_ShowsThemLiveWithoutReload()
    {
        Prerequisites.RequirePage();
        await using var controller = await LiveController.StartAsync();
        await using var fleet = new ScriptedFleet(controller);
        await using var page = await browser.OpenAsync(controller);
        using var stop = new CancellationTokenSource();

        // Nothing yet: hosts are known from the topology, agents are not there.
        await Expect(page.Figure("Agents connected")).ToHaveTextAsync("▲0 of 16", new() { Timeout = 30_000 });
        await page.WaitAsync(".jobs .empty", "No job runs");

        await fleet.ConnectAsync();
        await Expect(page.Figure("Agents connected")).ToHaveTextAsync("16 of 16", Patient);
        var large = await controller.SubmitAsync(Spec("mnist-large", fleet.Hosts, rounds: 400, gradientBytes: 4_000_000));
        var small = await controller.SubmitAsync(Spec("mnist-small", fleet.Hosts, rounds: 200, gradientBytes: 400_000));
        await page.WaitAsync("[data-job=mnist-large] .chip", "Placed");
        await page.WaitAsync("[data-job=mnist-small] .chip", "Placed");

        // The second job may have changed the level of the first.
        (large, small) = (await controller.GetJobAsync("mnist-large"), await controller.GetJobAsync("mnist-small"));
        var reporting = fleet.KeepReportingAsync(turn => [(large, 2e6, turn), (small, 1e6, 3 * turn)], null, stop.Token);

        // Jobs: state, progress, level with its reason.
        var card = page.Page.Locator("[data-job=mnist-large]");
        await Expect(card.Locator(".chip")).ToHaveTextAsync("Training", Patient);
        await Expect(card.Locator(".dscp").First).ToContainTextAsync(large.Plan!.Dscp.ToString());
        await Expect(card.Locator(".decisions")).ToContainTextAsync(large.Plan.LevelReason.Replace("->", " → ", StringComparison.Ordinal));
        await Expect(card).ToContainTextAsync("16 of 16 workers joined");
        var before = await card.Locator(".figure-text").TextContentAsync();
        await Expect(card.Locator(".figure-text")).Not.ToHaveTextAsync(before!, Patient);

        // Flows: both ends, rate, marks as sent and arrived.
        var row = page.Page.Locator(".flows tbody tr", new() { HasText = $"h0-0-0:{ScriptedFleet.FirstPort}" });
        await Expect(row).ToBeVisibleAsync();
        await Expect(row.Locator("td").Nth(0)).ToHaveTextAsync("mnist-large");
        await Expect(row.Locator("td").Nth(1)).ToHaveTextAsync("push");
        await Expect(row.Locator("td").Nth(3)).ToHaveTextAsync("h0-0-1:7471");
        await Expect(row.Locator("td").Nth(4)).ToHaveTextAsync(new System.Text.RegularExpressions.Regex(@"^[12]\.\d\d\sMbit/s$"), Patient);
        await Expect(row.Locator("td").Nth(5)).ToHaveTextAsync(large.Plan.Dscp.ToString());
        await Expect(row.Locator("td").Nth(6)).ToHaveTextAsync(large.Plan.Dscp.ToString());
        Assert.Equal("32", await page.Page.Locator("[data-flow-count]").GetAttributeAsync("data-flow-count"));

        // Fabric: a host's link carries what the host sends; its figures are in the tip.
        await page.Page.Locator("[data-node=h0-0-0]").HoverAsync();
        await Expect(page.Page.GetByRole(AriaRole.Tooltip)).ToContainTextAsync("h0-0-0 → e0-0", new() { Timeout = 10_000 });
        await Expect(page.Page.Locator("[data-link='h0-0-0 e0-0'] line.load-low").First).ToBeAttachedAsync();

        // Rates: a line for each job.
        await page.WaitRateAsync("mnist-large");
        await page.WaitRateAsync("mnist-small");

        // A click on a host leaves its flows: two jobs, one sent and one received each.
        await page.Page.Locator("[data-node=h0-0-0]").ClickAsync();
        await Expect(page.Page.Locator(".flows tbody tr")).ToHaveCountAsync(4);
        await page.Page.Locator("[data-node=h0-0-0]").ClickAsync();
        await Expect(page.Page.Locator(".flows tbody tr")).Not.ToHaveCountAsync(4);

        // An agent that complains, and a job that is withdrawn.
        fleet["h1-1-3"].Troubles = ["the clock runs backwards"];
        await page.WaitAsync("[data-agent=h1-1-3]", "the clock runs backwards");
        await controller.CancelAsync("mnist-small");
        await Expect(page.Page.Locator("[data-job=mnist-small]")).ToHaveCountAsync(0, new() { Timeout = 30_000 });
        await Expect(page.Page.Locator(".ended summary")).ToHaveTextAsync("1 ended");

        await stop.CancelAsync();
        await reporting;
        await page.AssertSoundAsync();
    }

    [Fact]
    public async Task Page_MarksAreLost_NamesThePairsAndFlagsTheFlows()
    {
        Prerequisites.RequirePage();
        await using var controller = await LiveController.StartAsync();
        await using var fleet = new ScriptedFleet(controller);
        await using var page = await browser.OpenAsync(controller);
        using var stop = new CancellationTokenSource();
        await fleet.ConnectAsync();
        var job = await controller.SubmitAsync(Spec("bert", fleet.Hosts, rounds: 400, gradientBytes: 4_000_000));
        Assert.NotEqual(Dscp.Default, job.Plan!.Dscp);

        // h0-1-3 -> h1-0-0 crosses the pods, and somebody there clears the mark.
        var reporting = fleet.KeepReportingAsync(turn => [(job, 4e6, turn)], (from, to) => (from, to) is ("h0-1-3", "h1-0-0"), stop.Token);
        await page.WaitAsync(".flows tr.wrong", "h0-1-3");
        await Expect(page.Page.Locator(".flows tr.wrong")).ToHaveCountAsync(1);
        await Expect(page.Page.Locator(".faults li")).ToContainTextAsync($"Marks from h0-1-3 to h1-0-0 arrive as CS0, sent {job.Plan.Dscp}", new() { Timeout = 60_000 });
        await Expect(page.Page.Locator(".faults li")).ToHaveCountAsync(1);
        await Expect(page.Figure("Pairs losing marks")).ToHaveTextAsync("▲1");
        await page.Page.GetByLabel("Mark lost").CheckAsync();
        await Expect(page.Page.Locator(".flows tbody tr")).ToHaveCountAsync(1);

        await stop.CancelAsync();
        await reporting;
        await page.AssertSoundAsync();
    }

    [Fact]
    public async Task Page_ControllerRestarts_SaysSoAndGoesOnWithoutReload()
    {
        Prerequisites.RequirePage();
        await using var controller = await LiveController.StartAsync();
        await using var fleet = new ScriptedFleet(controller);
        await using var page = await browser.OpenAsync(controller);
        await fleet.ConnectAsync();
        await controller.SubmitAsync(Spec("before", fleet.Hosts, rounds: 10, gradientBytes: 1_000));
        await page.WaitAsync("[data-job=before]");

        await controller.KillAsync();
        await page.WaitConnectionAsync("lost");
        await Expect(page.Page.Locator("[data-notice=disconnected]")).ToContainTextAsync("Everything below is as of then");

        // What was known stays readable meanwhile.
        await Expect(page.Page.Locator("[data-job=before]")).ToBeVisibleAsync();
        await fleet.DropAsync();

        await controller.StartProcessAsync();
        await page.WaitConnectionAsync("live");
        await Expect(page.Page.Locator("[data-notice=disconnected]")).ToHaveCountAsync(0);

        // This controller keeps its state in memory: the job is gone with it, and the page says what is, not what was.
        await Expect(page.Page.Locator("[data-job=before]")).ToHaveCountAsync(0);
        await fleet.ConnectAsync();
        await Expect(page.Figure("Agents connected")).ToHaveTextAsync("16 of 16", Patient);
        await controller.SubmitAsync(Spec("after", fleet.Hosts, rounds: 10, gradientBytes: 1_000));
        await page.WaitAsync("[data-job=after] .chip", "Placed");
        await page.AssertSoundAsync();
    }

    [Theory]
    [InlineData(1280, ColorScheme.Light)]
    [InlineData(1280, ColorScheme.Dark)]
    [InlineData(1920, ColorScheme.Dark)]
    [InlineData(390, ColorScheme.Light)]
    public async Task Page_WithTroublesOfAllKinds_IsAccessible(int width, ColorScheme scheme)
    {
        Prerequisites.RequirePage();
        Prerequisites.Require(File.Exists(Prerequisites.Axe), "axe-core is missing: npm ci --prefix controller/dashboard.");
        await using var controller = await LiveController.StartAsync();
        await using var fleet = new ScriptedFleet(controller);
        await using var page = await browser.OpenAsync(controller, width, 900, scheme);
        using var stop = new CancellationTokenSource();

        // h1-1-3 never connects, h1-1-2 refuses its policy.
        await fleet.ConnectAsync(fleet.Hosts.Except(["h1-1-3"]));
        fleet["h1-1-2"].Refusal = "nft refused the ruleset";
        var job = await controller.SubmitAsync(Spec("bert", [.. fleet.Hosts.Take(8)], rounds: 100, gradientBytes: 4_000_000));
        await controller.SubmitAsync(Spec("waiting", fleet.Hosts, rounds: 100, gradientBytes: 8_000_000));
        var reporting = fleet.KeepReportingAsync(turn => [(job, 6e6, turn)], (from, _) => from == "h0-0-0", stop.Token);
        await page.WaitAsync("[data-job=waiting]", "Waiting for");
        await page.WaitAsync("[data-agent=h1-1-2]", "nft refused the ruleset");
        await page.WaitAsync(".flows tr.wrong");

        var background = await page.Page.EvaluateAsync<string>("getComputedStyle(document.body).backgroundColor");
        Assert.Equal(scheme == ColorScheme.Dark ? "rgb(14, 19, 26)" : "rgb(243, 245, 248)", background);
        Assert.Empty(await page.AccessibilityFaultsAsync());
        Assert.Equal(width, await page.Page.EvaluateAsync<int>("document.documentElement.scrollWidth"));
        await page.PhotographAsync($"troubles-{width}-{scheme}");

        await stop.CancelAsync();
        await reporting;
        await controller.KillAsync();
        await page.WaitConnectionAsync("lost");
        Assert.Empty(await page.AccessibilityFaultsAsync());
        await page.AssertSoundAsync();
    }

    [Fact]
    public async Task Page_ThemeChosen_IsRememberedOverTheSystems()
    {
        Prerequisites.RequirePage();
        await using var controller = await LiveController.StartAsync();
        await using var page = await browser.OpenAsync(controller, scheme: ColorScheme.Light);
        var theme = page.Page.Locator("button", new() { HasText = "Theme" });
        await theme.ClickAsync();
        await theme.ClickAsync();
        await Expect(theme).ToContainTextAsync("dark");
        await page.Page.ReloadAsync();
        await Expect(page.Page.Locator("body")).ToHaveCSSAsync("background-color", "rgb(14, 19, 26)");
        await theme.ClickAsync();
        await Expect(theme).ToContainTextAsync("auto");
        await Expect(page.Page.Locator("body")).ToHaveCSSAsync("background-color", "rgb(243, 245, 248)");
    }

    [Fact]
    public async Task Page_ByKeyboardAlone_ChoosesAHostInTheDrawingAndSortsFlows()
    {
        Prerequisites.RequirePage();
        await using var controller = await LiveController.StartAsync();
        await using var fleet = new ScriptedFleet(controller);
        await using var page = await browser.OpenAsync(controller);
        await fleet.ConnectAsync();
        var job = await controller.SubmitAsync(Spec("bert", fleet.Hosts, rounds: 100, gradientBytes: 4_000_000));
        await fleet.ReportAsync([(job, 2e6, 1)]);
        await Expect(page.Page.Locator("[data-flow-count]")).ToHaveAttributeAsync("data-flow-count", "16");

        await TabToAsync(page.Page, "document.activeElement.dataset.node === 'h0-0-0'");
        await page.Page.Keyboard.PressAsync("ArrowRight");
        await Expect(page.Page.GetByRole(AriaRole.Tooltip)).ToContainTextAsync("Host h0-0-1");
        await page.Page.Keyboard.PressAsync("Escape");
        await Expect(page.Page.GetByRole(AriaRole.Tooltip)).ToHaveCountAsync(0);
        await page.Page.Keyboard.PressAsync("Enter");
        await Expect(page.Page.Locator("[data-flow-count]")).ToHaveAttributeAsync("data-flow-count", "2");

        // The drawing is one stop: the next one is outside of it.
        await page.Page.Keyboard.PressAsync("Tab");
        Assert.False(await page.Page.EvaluateAsync<bool>("document.activeElement.dataset.node !== undefined"));

        await TabToAsync(page.Page, "document.activeElement.textContent.startsWith('Source')");
        await page.Page.Keyboard.PressAsync("Enter");
        await Expect(page.Page.Locator("th.c-source")).ToHaveAttributeAsync("aria-sort", "ascending");
        Assert.StartsWith("h0-0-0", await page.Page.Locator(".flows tbody tr").First.Locator("td").Nth(2).TextContentAsync(), StringComparison.Ordinal);
        await page.AssertSoundAsync();
    }

    [Fact]
    public async Task Page_ThousandsOfFlows_DrawsThoseInSightAndHoldsStillWhenPaused()
    {
        Prerequisites.RequirePage();
        await using var controller = await LiveController.StartAsync();
        await using var fleet = new ScriptedFleet(controller);
        await using var page = await browser.OpenAsync(controller);
        await fleet.ConnectAsync();
        var reporter = fleet["h0-0-0"];
        await reporter.ReportAsync([.. Enumerable.Range(0, 3_000).Select(i => Stray(i, 1_000 + i))]);

        // 2000 are asked for; the controller keeps the fastest and says how many it left out.
        await Expect(page.Page.Locator("[data-flow-count]")).ToContainTextAsync("1\u202f000 slower flows not sent", new() { Timeout = 30_000 });
        await Expect(page.Page.Locator("[data-flow-count]")).ToHaveAttributeAsync("data-flow-count", "2000");
        Assert.InRange(await page.Page.Locator(".flows tbody tr").CountAsync(), 10, 100);

        await page.Page.GetByRole(AriaRole.Button, new() { Name = "Pause", Exact = true }).ClickAsync();
        await page.Page.EvaluateAsync("document.querySelector('.flows .scroll').scrollTop = 1e6");
        await Expect(page.Page.Locator("tr[aria-rowindex='2001']")).ToBeVisibleAsync();
        var rows = await page.Page.Locator(".flows tbody").InnerTextAsync();
        await reporter.ReportAsync([.. Enumerable.Range(0, 3_000).Select(i => Stray(i, 500_000 - i))]);
        await Expect(page.Figure("Flows")).Not.ToContainTextAsync("kbit/s", new() { Timeout = 30_000 });
        Assert.Equal(rows, await page.Page.Locator(".flows tbody").InnerTextAsync());
        await page.Page.GetByRole(AriaRole.Button, new() { Name = "Resume" }).ClickAsync();
        await Expect(page.Page.Locator(".flows tbody")).Not.ToHaveTextAsync(rows, new() { Timeout = 10_000 });

        // A choice of host is put to the controller, as the page itself does not have all flows.
        await page.Page.Locator("[data-node=h0-0-0]").ClickAsync();
        await Expect(page.Page.Locator("[data-flow-count]")).ToContainTextAsync("1\u202f000 slower flows not sent");
        await page.Page.Locator("[data-node=h1-0-0]").ClickAsync();
        await Expect(page.Page.Locator("[data-flow-count]")).ToHaveTextAsync("0 flows", new() { Timeout = 10_000 });
        await page.AssertSoundAsync();

        static FlowRecord Stray(int number, long octets) => new()
        {
            FlowStart = DateTimeOffset.UtcNow,
            FlowEnd = DateTimeOffset.UtcNow,
            Direction = FlowDirection.Egress,
            SourceAddress = "10.0.0.2",
            DestinationAddress = "10.0.1.2",
            SourceTransportPort = 20_000 + number,
            DestinationTransportPort = 80,
            ProtocolIdentifier = 6,
            IpDiffServCodePoint = Dscp.Default,
            PostIpDiffServCodePoint = Dscp.Default,
            OctetDeltaCount = octets,
            PacketDeltaCount = 10,
            EndReason = FlowEndReason.Active,
        };
    }

    private static JobSpec Spec(string name, IReadOnlyList<string> workers, long rounds, long gradientBytes) =>
        new() { Name = name, Workers = workers, Rounds = rounds, GradientBytes = gradientBytes };

    private static async Task TabToAsync(IPage page, string condition)
    {
        for (var presses = 0; presses < 80; presses++)
        {
            await page.Keyboard.PressAsync("Tab");
            if (await page.EvaluateAsync<bool>(condition))
            {
                return;
            }
        }

        Assert.Fail($"The tabulator never comes to where {condition}.");
    }
}
