namespace MLNet.SDN.Aggregation.Wire;

/// <summary>Type of an element, as it stands in frames.</summary>
internal enum ElementType : byte
{
    /// <summary>IEEE 754 binary32, little endian.</summary>
    Float32 = 1,
}

/// <summary>What is done with the contributions.</summary>
internal enum ReduceOperation : byte
{
    /// <summary>Their sum.</summary>
    Sum = 1,

    /// <summary>Their sum divided by the number of workers, at the root.</summary>
    Mean = 2,
}

/// <summary>Facts of the element types and operations.</summary>
internal static class Elements
{
    public static int Bytes(ElementType type) => type switch
    {
        ElementType.Float32 => 4,
        _ => throw new ArgumentOutOfRangeException(nameof(type)),
    };

    public static bool IsKnown(ElementType type) => type is ElementType.Float32;

    public static bool IsKnown(ReduceOperation operation) => operation is ReduceOperation.Sum or ReduceOperation.Mean;

    public static string Name(ElementType type) => type switch
    {
        ElementType.Float32 => "float32",
        _ => $"type {(byte)type}",
    };

    public static string Name(ReduceOperation operation) => operation switch
    {
        ReduceOperation.Sum => "sum",
        ReduceOperation.Mean => "mean",
        _ => $"operation {(byte)operation}",
    };

    public static bool TryParse(string? name, out ElementType type)
    {
        type = ElementType.Float32;
        return name == "float32";
    }

    public static bool TryParse(string? name, out ReduceOperation operation)
    {
        operation = name == "mean" ? ReduceOperation.Mean : ReduceOperation.Sum;
        return name is "sum" or "mean";
    }
}
