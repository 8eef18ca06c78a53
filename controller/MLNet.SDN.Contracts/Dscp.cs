using System.Text.Json;
using System.Text.Json.Serialization;

namespace MLNet.SDN.Contracts;

/// <summary>A differentiated services code point, 0..63 (RFC 2474 §3). Never a raw ToS byte: that is four times as large and holds ECN too.</summary>
/// <remarks>Written in JSON as its name where it has one (<c>"AF41"</c>), else as a number; both are read.</remarks>
[JsonConverter(typeof(DscpJsonConverter))]
public readonly record struct Dscp
{
    // RFC 2474 (CS), RFC 2597 (AF), RFC 3246 (EF), RFC 8622 (LE).
    private static readonly (string Name, byte Value)[] Names =
    [
        ("CS0", 0), ("LE", 1), ("CS1", 8), ("AF11", 10), ("AF12", 12), ("AF13", 14), ("CS2", 16), ("AF21", 18), ("AF22", 20), ("AF23", 22),
        ("CS3", 24), ("AF31", 26), ("AF32", 28), ("AF33", 30), ("CS4", 32), ("AF41", 34), ("AF42", 36), ("AF43", 38), ("CS5", 40), ("EF", 46),
        ("CS6", 48), ("CS7", 56),
    ];

    /// <summary>Creates the code point.</summary>
    /// <param name="value">0..63.</param>
    /// <exception cref="ArgumentOutOfRangeException">The value does not fit into six bits.</exception>
    public Dscp(int value)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(value);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, 63);
        Value = (byte)value;
    }

    /// <summary>The six bits, 0..63.</summary>
    public byte Value { get; }

    /// <summary>Best effort; what an unmarked packet carries.</summary>
    public static Dscp Default => default;

    /// <summary>The byte for IP_TOS or IPV6_TCLASS with ECN bits zero.</summary>
    public int TrafficClassByte => Value << 2;

    /// <summary>Reads a name (<c>AF41</c>, any case) or a number 0..63.</summary>
    public static bool TryParse(string? text, out Dscp dscp)
    {
        dscp = default;
        if (string.IsNullOrWhiteSpace(text))
        {
            return false;
        }

        foreach (var (name, value) in Names)
        {
            if (name.Equals(text, StringComparison.OrdinalIgnoreCase))
            {
                dscp = new Dscp(value);
                return true;
            }
        }

        if (byte.TryParse(text, System.Globalization.NumberStyles.None, null, out var number) && number <= 63)
        {
            dscp = new Dscp(number);
            return true;
        }

        return false;
    }

    /// <summary>The name, or the number where there is none.</summary>
    public override string ToString()
    {
        foreach (var (name, value) in Names)
        {
            if (value == Value)
            {
                return name;
            }
        }

        return Value.ToString(System.Globalization.CultureInfo.InvariantCulture);
    }
}

internal sealed class DscpJsonConverter : JsonConverter<Dscp>
{
    public override Dscp Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        if (reader.TokenType == JsonTokenType.Number && reader.TryGetInt32(out var number) && number is >= 0 and <= 63)
        {
            return new Dscp(number);
        }

        if (reader.TokenType == JsonTokenType.String && Dscp.TryParse(reader.GetString(), out var dscp))
        {
            return dscp;
        }

        throw new JsonException("A DSCP is a number 0..63 or a name such as AF41, CS0, EF or LE.");
    }

    public override void Write(Utf8JsonWriter writer, Dscp value, JsonSerializerOptions options)
    {
        var text = value.ToString();
        if (char.IsAsciiDigit(text[0]))
        {
            writer.WriteNumberValue(value.Value);
        }
        else
        {
            writer.WriteStringValue(text);
        }
    }
}
