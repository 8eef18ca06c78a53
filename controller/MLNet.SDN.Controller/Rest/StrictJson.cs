using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.Rest;

/// <summary>Reads a JSON body that a person may have typed: every unknown, missing, doubled or mistyped member is named, all at once.</summary>
internal static class StrictJson
{
    private const int MaxDepth = 32;
    private const int MaxFaults = 50;
    private const int MaxValueText = 64;

    /// <summary>Reads <typeparamref name="T"/> from the UTF-8 text.</summary>
    /// <returns>False when <paramref name="faults"/> has entries. Never throws on any input.</returns>
    public static bool TryRead<T>(ReadOnlyMemory<byte> json, JsonTypeInfo<T> type, out T? value, out IReadOnlyList<FieldFault> faults)
        where T : class
    {
        value = null;
        List<FieldFault> found = [];
        try
        {
            using var document = JsonDocument.Parse(json, new() { MaxDepth = MaxDepth, AllowDuplicateProperties = false });
            Check(document.RootElement, type, "$", found);
            if (found.Count == 0)
            {
                value = document.RootElement.Deserialize(type);
            }
        }
        catch (JsonException fault)
        {
            found.Add(Explain(fault));
        }
        catch (InvalidOperationException)
        {
            // Escapes or bytes that are no character pass as tokens and fail only when they are read as text.
            found.Add(new("$", "", "Some text in the body is not valid Unicode (a lone surrogate or bytes that are not UTF-8); send it as UTF-8."));
        }

        faults = found;
        return value is not null && found.Count == 0;
    }

    /// <summary>Says where a parser stopped and why.</summary>
    public static FieldFault Explain(JsonException fault)
    {
        // The framework appends "Path: $.a | LineNumber: 0 | BytePositionInLine: 7." counted from zero; people count from one.
        var message = fault.Message;
        foreach (var mark in (ReadOnlySpan<string>)[" Path: $", " LineNumber: "])
        {
            var cut = message.IndexOf(mark, StringComparison.Ordinal);
            message = cut > 0 ? message[..cut] : message;
        }

        var place = fault.LineNumber is { } line && fault.BytePositionInLine is { } column ? $" (line {line + 1}, byte {column + 1})" : "";
        return new(Field(fault.Path ?? "$"), "", $"{message.TrimEnd(' ', '|')}{place}");
    }

    private static string Field(string path) => path.StartsWith("$.", StringComparison.Ordinal) ? path[2..] : path;

    private static void Check(JsonElement element, JsonTypeInfo type, string path, List<FieldFault> faults)
    {
        if (faults.Count >= MaxFaults)
        {
            return;
        }

        switch (type.Kind)
        {
            case JsonTypeInfoKind.Object:
                CheckObject(element, type, path, faults);
                break;
            case JsonTypeInfoKind.Enumerable:
                CheckList(element, type, path, faults);
                break;
            case JsonTypeInfoKind.None:
                CheckScalar(element, type.Type, path, faults);
                break;
            default:
                break;
        }
    }

    private static void CheckObject(JsonElement element, JsonTypeInfo type, string path, List<FieldFault> faults)
    {
        if (element.ValueKind != JsonValueKind.Object)
        {
            faults.Add(new(Field(path), Text(element), "must be an object."));
            return;
        }

        foreach (var member in element.EnumerateObject())
        {
            var property = type.Properties.FirstOrDefault(p => p.Name == member.Name);
            if (property is null)
            {
                faults.Add(new(Field($"{path}.{member.Name}"), Text(member.Value), $"is not known here; known are {string.Join(", ", type.Properties.Select(p => p.Name))}."));
            }
            else if (member.Value.ValueKind == JsonValueKind.Null)
            {
                if (!property.IsSetNullable || (property.PropertyType.IsValueType && Nullable.GetUnderlyingType(property.PropertyType) is null))
                {
                    faults.Add(new(Field($"{path}.{member.Name}"), "null", "must not be null; leave it out for its default."));
                }
            }
            else
            {
                Check(member.Value, type.Options.GetTypeInfo(property.PropertyType), $"{path}.{member.Name}", faults);
            }
        }

        foreach (var property in type.Properties.Where(p => p.IsRequired && !element.TryGetProperty(p.Name, out _)))
        {
            faults.Add(new(Field($"{path}.{property.Name}"), "", "is missing."));
        }
    }

    private static void CheckList(JsonElement element, JsonTypeInfo type, string path, List<FieldFault> faults)
    {
        if (element.ValueKind != JsonValueKind.Array)
        {
            faults.Add(new(Field(path), Text(element), "must be a list."));
            return;
        }

        var item = type.Options.GetTypeInfo(type.ElementType!);
        var index = 0;
        foreach (var entry in element.EnumerateArray())
        {
            var place = $"{path}[{index++}]";
            if (entry.ValueKind == JsonValueKind.Null)
            {
                faults.Add(new(Field(place), "null", "must not be null."));
            }
            else
            {
                Check(entry, item, place, faults);
            }
        }
    }

    private static void CheckScalar(JsonElement element, Type type, string path, List<FieldFault> faults)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        var wanted =
            type == typeof(string) ? element.ValueKind != JsonValueKind.String ? "must be text in quotes." : element.GetString()!.Contains('\0', StringComparison.Ordinal) ? "must not contain the character NUL." : null :
            type == typeof(bool) ? element.ValueKind is JsonValueKind.True or JsonValueKind.False ? null : "must be true or false." :
            type == typeof(int) ? element.ValueKind == JsonValueKind.Number && element.TryGetInt32(out _) ? null : "must be a whole number of at most 2147483647." :
            type == typeof(long) ? element.ValueKind == JsonValueKind.Number && element.TryGetInt64(out _) ? null : "must be a whole number of at most 9223372036854775807." :
            type == typeof(double) ? element.ValueKind == JsonValueKind.Number && element.TryGetDouble(out var number) && double.IsFinite(number) ? null : "must be a number." :
            null;
        if (wanted is not null)
        {
            faults.Add(new(Field(path), Text(element), wanted));
        }
    }

    private static string Text(JsonElement element)
    {
        var raw = element.ValueKind == JsonValueKind.String ? element.GetString()! : element.GetRawText();
        return raw.Length <= MaxValueText ? raw : $"{raw.AsSpan(0, MaxValueText)}...";
    }
}
