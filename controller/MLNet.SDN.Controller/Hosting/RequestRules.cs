using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Controller.Hosting;

/// <summary>Rules for every request: a controller that does not lead says so, foreign web pages cannot reach it through an operator's browser, and our own page loads nothing from elsewhere.</summary>
internal static class RequestRules
{
    /// <summary>Applies the rules, then goes on.</summary>
    public static async Task ApplyAsync(HttpContext context, RequestDelegate next)
    {
        var request = context.Request;
        var headers = context.Response.Headers;
        headers.XContentTypeOptions = "nosniff";
        headers.ContentSecurityPolicy = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'";

        // Browsers send Origin with WebSockets and changes; a page of another site must not act through this browser.
        if (request.Headers.Origin is [{ Length: > 0 } origin] && !IsOwnPage(origin, request.Host))
        {
            await TypedResults.Problem($"Requests from pages of {origin} are not served.", statusCode: StatusCodes.Status403Forbidden, title: "Foreign page").ExecuteAsync(context);
            return;
        }

        if ((request.Path.StartsWithSegments("/api", StringComparison.Ordinal) || request.Path.StartsWithSegments("/hubs", StringComparison.Ordinal))
            && context.RequestServices.GetRequiredService<ControlPlane>().Current is null)
        {
            var status = context.RequestServices.GetRequiredService<Leadership>().Status;
            await TypedResults.Problem($"This controller does not lead now ({status}).", statusCode: StatusCodes.Status503ServiceUnavailable, title: "Not now").ExecuteAsync(context);
            return;
        }

        await next(context);
    }

    // Without the scheme: behind a proxy that ends TLS, the page's is https and ours is not.
    private static bool IsOwnPage(string origin, HostString host) =>
        Uri.TryCreate(origin, UriKind.Absolute, out var page) && string.Equals(page.Authority, host.Value, StringComparison.OrdinalIgnoreCase);
}
