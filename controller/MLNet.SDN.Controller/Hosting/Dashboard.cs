using Microsoft.Extensions.FileProviders;

namespace MLNet.SDN.Controller.Hosting;

/// <summary>Serves the dashboard's build output, or says how to make it.</summary>
internal static class Dashboard
{
    private const string Absent = """
        The controller runs, but the dashboard is not built.

        Build it:      cd controller/dashboard && npm ci && npm run build
        Point to it:   --Controller:WebRoot=controller/MLNet.SDN.Controller/wwwroot

        REST:          /api/v1/jobs, /api/v1/agents, ... (described at /openapi/v1.json)
        """;

    /// <summary>Maps <c>/</c>.</summary>
    /// <param name="folder">As configured; null for <c>wwwroot</c> beside the binary.</param>
    public static void MapDashboard(this WebApplication app, string? folder)
    {
        var root = Path.GetFullPath(string.IsNullOrWhiteSpace(folder) ? Path.Combine(AppContext.BaseDirectory, "wwwroot") : folder);
        if (File.Exists(Path.Combine(root, "index.html")))
        {
            // Disposed with the process.
            var files = new PhysicalFileProvider(root);
            app.UseDefaultFiles(new DefaultFilesOptions { FileProvider = files });
            app.UseStaticFiles(new StaticFileOptions { FileProvider = files });
        }
        else
        {
            app.MapGet("/", () => TypedResults.Text(Absent)).ExcludeFromDescription();
        }
    }
}
