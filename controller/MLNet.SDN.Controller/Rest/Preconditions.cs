using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Primitives;

namespace MLNet.SDN.Controller.Rest;

/// <summary>Optimistic concurrency (RFC 9110 §13.1.1): the ETag names the version of what a client can change, not of figures that move by themselves.</summary>
internal static class Preconditions
{
    /// <summary>Sets the ETag of the answer.</summary>
    public static void SetETag(HttpContext context, string version) => context.Response.Headers.ETag = Quote(version);

    /// <summary>Whether the request's If-Match allows a change of this version; it does when it is absent.</summary>
    public static bool Allow(StringValues ifMatch, string version) =>
        StringValues.IsNullOrEmpty(ifMatch) || ifMatch.SelectMany(v => (v ?? "").Split(',')).Any(v => v.Trim() is "*" || v.Trim() == Quote(version));

    /// <summary>The refusal when <see cref="Allow"/> says no.</summary>
    public static ProblemHttpResult Failed(StringValues ifMatch, string version) => Problems.Field(
        StatusCodes.Status412PreconditionFailed, "It has changed since you read it", "If-Match", ifMatch.ToString(), $"The version is {Quote(version)} now; read it again. Nothing was changed.");

    private static string Quote(string version) => $"\"{version}\"";
}
