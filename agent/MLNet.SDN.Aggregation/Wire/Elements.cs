namespace MLNet.SDN.Aggregation.Wire;

/// <summary>Facts of the element types and operations.</summary>
internal static class Elements
{
    private static readonly string[] TypeNames = ["float32", "float64", "float16", "bfloat16", "int32", "int64"];

    private static readonly string[] OperationNames = ["sum", "mean", "min", "max", "push", "pull"];

    /// <summary>The names of all types, as a worker writes them.</summary>
    public static string AllTypes { get; } = string.Join(", ", TypeNames);

    /// <summary>The names of all operations, as a worker writes them.</summary>
    public static string AllOperations { get; } = string.Join(", ", OperationNames);

    public static int Bytes(ElementType type) => type switch
    {
        ElementType.Float32 or ElementType.Int32 => 4,
        ElementType.Float64 or ElementType.Int64 => 8,
        ElementType.Float16 or ElementType.BFloat16 => 2,
        _ => throw new ArgumentOutOfRangeException(nameof(type)),
    };

    /// <summary>Bytes of an element while it is summed: 16-bit numbers are added as binary32, so room is made for that.</summary>
    public static int SummedBytes(ElementType type) => Math.Max(Bytes(type), sizeof(float));

    /// <summary>Whether partial sums of several contributions are binary32 although the elements are 16-bit numbers.</summary>
    public static bool SumsWide(ElementType type, ReduceOperation operation) =>
        type is ElementType.Float16 or ElementType.BFloat16 && operation is ReduceOperation.Sum or ReduceOperation.Mean or ReduceOperation.Push;

    /// <summary>Whether the order of the contributions can change the result.</summary>
    public static bool OrderMatters(ElementType type, ReduceOperation operation) =>
        type is not (ElementType.Int32 or ElementType.Int64) && operation is ReduceOperation.Sum or ReduceOperation.Mean or ReduceOperation.Push;

    /// <summary>Whether the operation needs a server.</summary>
    public static bool NeedsServer(ReduceOperation operation) => operation is ReduceOperation.Push or ReduceOperation.Pull;

    /// <summary>Whether frames of a kind carry numbers. With a server they do one way only: the root is on the server's host, so sums go up and acknowledgements down, or requests up and values down.</summary>
    public static bool HasPayload(FrameType frame, ReduceOperation operation) => operation switch
    {
        ReduceOperation.Push => frame == FrameType.Partial,
        ReduceOperation.Pull => frame != FrameType.Partial,
        _ => true,
    };

    public static bool IsKnown(ElementType type) => type is >= ElementType.Float32 and <= ElementType.Int64;

    public static bool IsKnown(ReduceOperation operation) => operation is >= ReduceOperation.Sum and <= ReduceOperation.Pull;

    public static string Name(ElementType type) => IsKnown(type) ? TypeNames[(int)type - 1] : $"type {(byte)type}";

    public static string Name(ReduceOperation operation) => IsKnown(operation) ? OperationNames[(int)operation - 1] : $"operation {(byte)operation}";

    public static bool TryParse(string? name, out ElementType type)
    {
        type = (ElementType)(Array.IndexOf(TypeNames, name) + 1);
        return IsKnown(type);
    }

    public static bool TryParse(string? name, out ReduceOperation operation)
    {
        operation = (ReduceOperation)(Array.IndexOf(OperationNames, name) + 1);
        return IsKnown(operation);
    }
}
