using System.Globalization;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.Rest;

/// <summary>Cursor paging: the answer is a plain list, and the header <c>Link: &lt;…&gt;; rel="next"</c> (RFC 8288) leads on.</summary>
internal static class Paging
{
    /// <summary>Reads <c>limit</c>.</summary>
    public static bool TryLimit(string? text, int standard, int max, out int limit, out FieldFault? fault)
    {
        fault = null;
        limit = standard;
        if (text is null || (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out limit) && limit >= 1 && limit <= max))
        {
            return true;
        }

        fault = new("limit", text, $"must be a whole number from 1 to {max}.");
        return false;
    }

    /// <summary>Names the next page.</summary>
    public static void SetNext(HttpContext context, string cursor)
    {
        var query = context.Request.Query.Where(q => q.Key != "cursor").SelectMany(q => q.Value, (q, v) => $"{Uri.EscapeDataString(q.Key)}={Uri.EscapeDataString(v ?? "")}");
        context.Response.Headers.Link = $"<{context.Request.Path}?{string.Join('&', query.Append($"cursor={Uri.EscapeDataString(cursor)}"))}>; rel=\"next\"";
    }
}
