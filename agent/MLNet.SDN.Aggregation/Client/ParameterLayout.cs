using System.Text.Json;
using System.Text.Unicode;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Client;

/// <summary>
/// What the server of a job and its workers agree on: which parameters there are, on which streams they travel, and how far workers may run ahead.
/// Immutable. docs/protocol.md, "Pushes and pulls", is the authority.
/// </summary>
internal sealed class ParameterLayout
{
    /// <summary>The stream beside those of the parameters: how it begins and ends.</summary>
    public const uint Control = uint.MaxValue;

    /// <summary>"MLNTPS", the first word of what the server says.</summary>
    public const long Magic = 0x5350_544E_4C4D;

    public const long Version = 2;

    /// <summary>Words of the head: magic, version, bytes of the description.</summary>
    public const int HeadWords = 3;

    /// <summary>Elements that a push carries behind the gradient under a deadline: the number of gradients in it, and 1 for the goodbye.</summary>
    public const int PushTail = 2;

    /// <summary>Elements that a pull carries behind the values under a deadline: 1 in the last.</summary>
    public const int PullTail = 1;

    /// <summary>More than 8 KiB for each of the parameters that a job can have: a longer description is a mistake, and is not to be allocated.</summary>
    public const int MaxDescriptionBytes = 16 * 1024 * 1024;

    // What an agent lets a job have, less the one for control.
    private const int MostStreams = 4096 - 1;

    // What numpy can have, so that no server of ours says more.
    private const int MostDimensions = 64;

    // A deadline beyond this is a mistake.
    private const double MostSeconds = 3600;

    private const int QuotedCharacters = 60;

    private readonly Dictionary<string, int> _indices;

    private ParameterLayout(Parameter[] parameters, int staleness, TimeSpan? deadline)
    {
        Parameters = parameters;
        Staleness = staleness;
        Deadline = deadline;
        _indices = parameters.Select((p, i) => (p.Key, i)).ToDictionary(p => p.Key, p => p.i, StringComparer.Ordinal);
    }

    /// <summary>In the server's order; at least one, no key twice.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Rounds that a worker may be ahead of the slowest, from 0.</summary>
    public int Staleness { get; }

    /// <summary>How long a round waits for late workers; null: for all.</summary>
    public TimeSpan? Deadline { get; }

    /// <summary>Rounds of a parameter that may be under way at once. Each needs a stream of its own.</summary>
    public int Width => Staleness + 1;

    public bool TryGetIndex(string key, out int index) => _indices.TryGetValue(key, out index);

    public uint PushStream(int index, long number) => (uint)((index * 2L * Width) + (number % Width));

    public uint PullStream(int index, long version) => (uint)((((index * 2L) + 1) * Width) + (version % Width));

    /// <summary>Reads the length of the description.</summary>
    /// <param name="head"><see cref="HeadWords"/> words.</param>
    /// <param name="bytes">Bytes of the description, 1 to <see cref="MaxDescriptionBytes"/>, when the result is <see langword="true"/>.</param>
    /// <param name="fault">What is wrong and what to do, otherwise.</param>
    public static bool TryReadHead(ReadOnlySpan<long> head, out int bytes, out string fault)
    {
        bytes = 0;
        fault = head[0] != Magic
            ? $"magic is 0x{head[0]:X}; it must be 0x{Magic:X}: serve with mlnet.serve()"
            : head[1] != Version
                ? $"version of parameter exchange is {head[1]}; this library speaks {Version}: use one version of mlnet at server and workers"
                : head[2] is < 1 or > MaxDescriptionBytes
                    ? $"bytes of the description is {head[2]}; it must be 1 to {MaxDescriptionBytes}: use fewer parameters or shorter keys"
                    : "";
        bytes = fault.Length == 0 ? (int)head[2] : 0;
        return fault.Length == 0;
    }

    /// <summary>Reads a description. Never throws: another process wrote it.</summary>
    /// <param name="json">The description, UTF-8.</param>
    /// <param name="layout">The layout, when the result is <see langword="true"/>.</param>
    /// <param name="fault">The first field that is wrong, its value, and what to do, otherwise.</param>
    public static bool TryParse(ReadOnlyMemory<byte> json, out ParameterLayout? layout, out string fault)
    {
        layout = null;
        try
        {
            if (!Utf8.IsValid(json.Span))
            {
                fault = Fault("description", "not UTF-8", "a JSON object");
                return false;
            }

            using var document = JsonDocument.Parse(json, new JsonDocumentOptions { AllowDuplicateProperties = false });
            return TryRead(document.RootElement, out layout, out fault);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // The second is what half of a surrogate pair in a string makes.
            fault = Fault("description", Quoted(e.Message), "a JSON object in which every name stands once");
            return false;
        }
    }

    private static bool TryRead(JsonElement root, out ParameterLayout? layout, out string fault)
    {
        layout = null;
        if (root.ValueKind != JsonValueKind.Object)
        {
            fault = Fault("description", Quoted(root), "an object");
            return false;
        }

        if (!TryField(root, "staleness", out var field, out fault))
        {
            return false;
        }

        if (!field.TryGetInt(out var staleness) || staleness is < 0 or >= MostStreams)
        {
            fault = Fault("staleness", Quoted(field), $"a number of rounds from 0 to {MostStreams - 1}");
            return false;
        }

        if (!TryField(root, "deadline", out field, out fault))
        {
            return false;
        }

        TimeSpan? deadline = null;
        if (field.ValueKind != JsonValueKind.Null)
        {
            if (field.ValueKind != JsonValueKind.Number || !field.TryGetDouble(out var seconds) || seconds is not (> 0 and <= MostSeconds))
            {
                fault = Fault("deadline", Quoted(field), $"seconds above 0, at most {MostSeconds}, or null");
                return false;
            }

            if (staleness != 0)
            {
                fault = $"staleness is {staleness} and deadline {Quoted(field)}; rounds that wait for nobody have no bound on staleness: serve with one of the two";
                return false;
            }

            deadline = TimeSpan.FromSeconds(seconds);
        }

        if (!TryField(root, "parameters", out field, out fault))
        {
            return false;
        }

        if (field.ValueKind != JsonValueKind.Array || field.GetArrayLength() == 0)
        {
            fault = Fault("parameters", Quoted(field), "a list of at least one");
            return false;
        }

        var streams = field.GetArrayLength() * 2L * (staleness + 1);
        if (streams > MostStreams)
        {
            fault = $"parameters is a list of {field.GetArrayLength()} with a staleness of {staleness}, which need {streams} streams, and a job has {MostStreams}: join small tensors into one, or lower the staleness";
            return false;
        }

        var parameters = new Parameter[field.GetArrayLength()];
        var keys = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < parameters.Length; i++)
        {
            if (!TryReadParameter(field[i], $"parameters[{i}]", out var parameter, out fault))
            {
                return false;
            }

            if (!keys.Add(parameter!.Key))
            {
                fault = Fault($"parameters[{i}].key", Quoted(field[i].GetProperty("key")), "another than those before");
                return false;
            }

            parameters[i] = parameter;
        }

        layout = new ParameterLayout(parameters, staleness, deadline);
        return true;
    }

    private static bool TryReadParameter(JsonElement said, string where, out Parameter? parameter, out string fault)
    {
        parameter = null;
        if (said.ValueKind != JsonValueKind.Object)
        {
            fault = Fault(where, Quoted(said), "an object");
            return false;
        }

        if (!TryField(said, "key", out var key, out fault, where) || !TryField(said, "dtype", out var dtype, out fault, where) || !TryField(said, "shape", out var shape, out fault, where))
        {
            return false;
        }

        if (key.ValueKind != JsonValueKind.String || key.GetString() is not { Length: > 0 } name)
        {
            fault = Fault($"{where}.key", Quoted(key), "a name");
            return false;
        }

        if (dtype.ValueKind != JsonValueKind.String || !Elements.TryParse(dtype.GetString(), out ElementType type) || type is not (ElementType.Float32 or ElementType.Float64))
        {
            fault = Fault($"{where}.dtype", Quoted(dtype), "float32 or float64");
            return false;
        }

        // What it travels as must fit the memory of a message here.
        var most = (Array.MaxLength / Elements.Bytes(type)) - PushTail;
        if (shape.ValueKind != JsonValueKind.Array || shape.GetArrayLength() > MostDimensions)
        {
            fault = Fault($"{where}.shape", Quoted(shape), $"a list of up to {MostDimensions} numbers from 1");
            return false;
        }

        var dimensions = new int[shape.GetArrayLength()];
        var length = 1L;
        for (var d = 0; d < dimensions.Length; d++)
        {
            if (!shape[d].TryGetInt(out dimensions[d]) || dimensions[d] < 1)
            {
                fault = Fault($"{where}.shape[{d}]", Quoted(shape[d]), $"a number from 1 to {int.MaxValue}");
                return false;
            }

            length *= dimensions[d];
            if (length > most)
            {
                fault = $"{where}.shape is {Quoted(shape)}; a parameter of {Elements.Name(type)} has at most {most} elements at a worker in C#: split it";
                return false;
            }
        }

        parameter = new Parameter(name, dimensions, type, (int)length);
        return true;
    }

    private static bool TryField(JsonElement of, string name, out JsonElement field, out string fault, string? where = null)
    {
        var there = of.TryGetProperty(name, out field);
        fault = there ? "" : $"{(where is null ? name : $"{where}.{name}")} is missing: use one version of mlnet at server and workers";
        return there;
    }

    private static string Fault(string field, string value, string rule) => $"{field} is {value}; it must be {rule}: use one version of mlnet at server and workers";

    private static string Quoted(JsonElement value) => Quoted(value.GetRawText());

    /// <summary>A line of it: it goes into messages and logs.</summary>
    private static string Quoted(string text)
    {
        var start = text.Length > QuotedCharacters ? $"{text[..QuotedCharacters]}..." : text;
        return string.Create(start.Length, start, static (line, from) =>
        {
            for (var i = 0; i < line.Length; i++)
            {
                line[i] = char.IsControl(from[i]) ? ' ' : from[i];
            }
        });
    }
}

/// <summary>What <see cref="JsonElement"/> does not have.</summary>
file static class JsonNumbers
{
    /// <summary>Never throws, unlike <see cref="JsonElement.TryGetInt32"/> for what is no number.</summary>
    public static bool TryGetInt(this JsonElement element, out int value)
    {
        value = 0;
        return element.ValueKind == JsonValueKind.Number && element.TryGetInt32(out value);
    }
}
