using System.Globalization;
using System.Text.Json;

namespace MLNet.SDN.Cli.Simulation;

/// <summary>Finds the line of a JSON file at which a field stands, so that a fault can be found in an editor.</summary>
internal static class JsonLines
{
    /// <summary>Line of a field, 1-based; of the innermost part of its path that there is, when the file leaves it out.</summary>
    /// <param name="json">The file; well-formed.</param>
    /// <param name="field">Path of the field, as <c>jobs[3].workers[0]</c>.</param>
    public static int Of(ReadOnlySpan<byte> json, string field)
    {
        var reader = new Utf8JsonReader(json);
        var (line, at) = (1, 0L);
        reader.Read();
        foreach (var step in field.Split('.', '['))
        {
            var found = step.EndsWith(']')
                ? reader.TokenType == JsonTokenType.StartArray && ToElement(ref reader, int.Parse(step.AsSpan(0, step.Length - 1), CultureInfo.InvariantCulture))
                : step.Length > 0 && reader.TokenType == JsonTokenType.StartObject && ToProperty(ref reader, step);
            if (!found)
            {
                break;
            }

            at = reader.TokenStartIndex;
        }

        foreach (var character in json[..(int)at])
        {
            line += character == (byte)'\n' ? 1 : 0;
        }

        return line;
    }

    private static bool ToProperty(ref Utf8JsonReader reader, string name)
    {
        var search = reader; // a copy: when the property is not there, the place before it counts
        while (search.Read() && search.TokenType == JsonTokenType.PropertyName)
        {
            var hit = search.ValueTextEquals(name);
            search.Read();
            if (hit)
            {
                reader = search;
                return true;
            }

            search.Skip();
        }

        return false;
    }

    private static bool ToElement(ref Utf8JsonReader reader, int index)
    {
        var search = reader;
        for (var i = 0; search.Read() && search.TokenType != JsonTokenType.EndArray; i++)
        {
            if (i == index)
            {
                reader = search;
                return true;
            }

            search.Skip();
        }

        return false;
    }
}
