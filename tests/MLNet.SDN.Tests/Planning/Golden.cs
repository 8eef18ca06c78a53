using System.Text.Json;

namespace MLNet.SDN.Tests.Planning;

/// <summary>Cases with known answers, worked out apart from this code.</summary>
internal static class Golden
{
    public static JsonElement Read(string name)
    {
        using var stream = Open(name);
        return JsonDocument.Parse(stream).RootElement;
    }

    public static Stream Open(string name) => File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Planning", "golden", name));

    /// <summary>A number, or a fraction such as <c>459/50</c>.</summary>
    public static double Number(JsonElement element)
    {
        if (element.ValueKind == JsonValueKind.Number)
        {
            return element.GetDouble();
        }

        var parts = element.GetString()!.Split('/');
        return double.Parse(parts[0]) / (parts.Length > 1 ? double.Parse(parts[1]) : 1);
    }
}
