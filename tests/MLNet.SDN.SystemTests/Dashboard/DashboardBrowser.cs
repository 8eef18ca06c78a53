using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.Playwright;

namespace MLNet.SDN.SystemTests.Dashboard;

/// <summary>A headless Chromium, shared by the tests of a class; each opens pages of its own.</summary>
public sealed class DashboardBrowser : IAsyncLifetime
{
    private IPlaywright? _playwright;
    private IBrowser? _browser;

    /// <inheritdoc />
    public async ValueTask InitializeAsync()
    {
        if (!File.Exists(Prerequisites.Chromium))
        {
            // The tests themselves say so.
            return;
        }

        _playwright = await Playwright.CreateAsync();
        _browser = await _playwright.Chromium.LaunchAsync(new()
        {
            ExecutablePath = Prerequisites.Chromium,
            Args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        });
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        if (_browser is not null)
        {
            await _browser.DisposeAsync();
        }

        _playwright?.Dispose();
    }

    /// <summary>Opens the page and waits until it is live. A page that asks anybody but its controller for anything fails the test.</summary>
    internal async Task<DashboardPage> OpenAsync(LiveController controller, int width = 1280, int height = 900, ColorScheme scheme = ColorScheme.Light)
    {
        var context = await _browser!.NewContextAsync(new() { ViewportSize = new() { Width = width, Height = height }, ColorScheme = scheme });
        context.SetDefaultTimeout(30_000);
        var page = new DashboardPage(context, await context.NewPageAsync(), controller.Address);
        await page.GotoAsync();
        return page;
    }
}

/// <summary>The page in one browser window.</summary>
internal sealed class DashboardPage : IAsyncDisposable
{
    private readonly IBrowserContext _context;
    private readonly Uri _address;
    private readonly List<string> _foreign = [];
    private readonly List<string> _errors = [];

    public DashboardPage(IBrowserContext context, IPage page, Uri address)
    {
        (_context, Page, _address) = (context, page, address);
        page.Request += (_, request) =>
        {
            if (new Uri(request.Url).Authority != address.Authority)
            {
                _foreign.Add(request.Url);
            }
        };
        page.PageError += (_, error) => _errors.Add(error);
    }

    /// <summary>The browser's view of it.</summary>
    public IPage Page { get; }

    /// <summary>Loads the page and waits for the first whole update.</summary>
    public async Task GotoAsync()
    {
        await Page.GotoAsync(_address.ToString());
        await WaitConnectionAsync("live");
        await Page.EvaluateAsync("window.loadedOnce = true");
    }

    /// <summary>Waits until the page says that its connection is as named.</summary>
    public Task WaitConnectionAsync(string phase) => Page.Locator($"[data-connection={phase}]").WaitForAsync();

    /// <summary>Waits for something to stand on the page.</summary>
    public Task WaitAsync(string selector, string? text = null) => Page.Locator(selector, text is null ? null : new() { HasText = text }).First.WaitForAsync();

    /// <summary>A figure of the header, e.g. <c>Jobs running</c>.</summary>
    public ILocator Figure(string name) => Page.Locator(".figure", new() { HasText = name }).Locator("dd");

    /// <summary>Waits until the chart has a rate of a job that is not nothing, and a line for it.</summary>
    public async Task WaitRateAsync(string job)
    {
        await Assertions.Expect(Page.Locator(".rates tbody tr", new() { HasText = job }).Locator("td").First)
            .ToHaveTextAsync(new Regex(@"^[1-9][\d.]*\s[kM]bit/s$"), new() { Timeout = 30_000 });
        await Assertions.Expect(Page.Locator($"[data-rate-of='{job}'] polyline").First).ToBeAttachedAsync();
    }

    /// <summary>Fails unless the page is the one that was first loaded, asked only its controller and threw nothing.</summary>
    public async Task AssertSoundAsync()
    {
        Assert.True(await Page.EvaluateAsync<bool>("window.loadedOnce === true"), "The page was loaded again.");
        Assert.Empty(_foreign);
        Assert.Empty(_errors);
    }

    /// <summary>Accessibility faults (WCAG 2.2 A and AA and best practices), serious and critical ones.</summary>
    public async Task<IReadOnlyList<string>> AccessibilityFaultsAsync()
    {
        // Injected through the debugger, which no content security policy stops.
        await Page.EvaluateAsync(await File.ReadAllTextAsync(Prerequisites.Axe));
        var result = await Page.EvaluateAsync<JsonElement>("axe.run()");
        Assert.True(result.GetProperty("passes").GetArrayLength() > 20, "The checker has hardly checked anything.");
        return
        [
            .. result.GetProperty("violations").EnumerateArray()
                .Where(v => v.GetProperty("impact").GetString() is "serious" or "critical")
                .Select(v => $"{v.GetProperty("id").GetString()}: {v.GetProperty("help").GetString()}: {v.GetProperty("nodes")[0].GetProperty("html").GetString()}"),
        ];
    }

    /// <summary>Writes a picture of the page where <c>MLNET_SCREENSHOT_DIR</c> names a folder.</summary>
    public async Task PhotographAsync(string name, bool fullPage = true)
    {
        if (Environment.GetEnvironmentVariable("MLNET_SCREENSHOT_DIR") is { Length: > 0 } folder)
        {
            Directory.CreateDirectory(folder);
            await Page.ScreenshotAsync(new() { Path = Path.Combine(folder, $"{name}.png"), FullPage = fullPage });
        }
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync() => await _context.DisposeAsync();
}
