using System.Globalization;
using System.Text;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http.HttpResults;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.Rest;

/// <summary>Refusals as problem+json (RFC 9457). The extension <c>errors</c> lists field, value and message of every fault, and <c>detail</c> names the fields in words.</summary>
internal static class Problems
{
    private const int FaultsInDetail = 5;

    /// <summary>Refuses an input with the faults of its fields.</summary>
    public static ProblemHttpResult Fields(int status, string title, IReadOnlyList<FieldFault> faults)
    {
        var detail = new StringBuilder();
        foreach (var fault in faults.Take(FaultsInDetail))
        {
            detail.Append(detail.Length == 0 ? "" : " ").Append(CultureInfo.InvariantCulture, $"{fault.Field}{(fault.Value.Length == 0 ? "" : $" '{fault.Value}'")}: {fault.Message}");
        }

        if (faults.Count > FaultsInDetail)
        {
            detail.Append(CultureInfo.InvariantCulture, $" And {faults.Count - FaultsInDetail} more.");
        }

        return TypedResults.Problem(detail.ToString(), statusCode: status, title: title, extensions: new Dictionary<string, object?> { ["errors"] = faults });
    }

    /// <summary>Refuses for one field.</summary>
    public static ProblemHttpResult Field(int status, string title, string field, string value, string message) => Fields(status, title, [new(field, value, message)]);

    /// <summary>Nothing has that name.</summary>
    public static ProblemHttpResult NotFound(string kind, string name) =>
        Field(StatusCodes.Status404NotFound, $"No such {kind}", kind, name, $"There is no {kind} of this name.");

    /// <summary>Reads the body of a request, or says why not.</summary>
    /// <returns>The value, or the refusal; exactly one is not null.</returns>
    public static async Task<(T? Value, byte[] Body, ProblemHttpResult? Refusal)> ReadBodyAsync<T>(HttpRequest request, JsonTypeInfo<T> type, int maxBytes, CancellationToken cancellationToken)
        where T : class
    {
        if (!request.HasJsonContentType())
        {
            // Also keeps foreign web pages out: a form cannot send this content type without asking first.
            return (null, [], Field(StatusCodes.Status415UnsupportedMediaType, "The body must be JSON", "Content-Type", request.ContentType ?? "", "Send 'Content-Type: application/json'."));
        }

        var body = await ReadLimitedAsync(request.Body, maxBytes, cancellationToken);
        if (body is null)
        {
            return (null, [], Field(StatusCodes.Status413PayloadTooLarge, "The body is too large", "$", "", $"At most {maxBytes} bytes are read."));
        }

        return StrictJson.TryRead(body, type, out var value, out var faults)
            ? (value, body, null)
            : (null, body, Fields(StatusCodes.Status400BadRequest, "The body cannot be read", faults.Count > 0 ? faults : [new("$", "null", "must be an object.")]));
    }

    /// <summary>All bytes, or null when there are more than <paramref name="maxBytes"/>.</summary>
    public static async Task<byte[]?> ReadLimitedAsync(Stream body, int maxBytes, CancellationToken cancellationToken)
    {
        using var buffer = new MemoryStream();
        var chunk = new byte[16_384];
        int read;
        while ((read = await body.ReadAsync(chunk, cancellationToken)) > 0)
        {
            if (buffer.Length + read > maxBytes)
            {
                return null;
            }

            buffer.Write(chunk, 0, read);
        }

        return buffer.ToArray();
    }
}
