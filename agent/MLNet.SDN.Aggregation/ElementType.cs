namespace MLNet.SDN.Aggregation;

/// <summary>Type of an element, as it stands in frames. All little endian.</summary>
public enum ElementType : byte
{
    /// <summary>IEEE 754 binary32.</summary>
    Float32 = 1,

    /// <summary>IEEE 754 binary64.</summary>
    Float64 = 2,

    /// <summary>IEEE 754 binary16.</summary>
    Float16 = 3,

    /// <summary>The upper half of a binary32.</summary>
    BFloat16 = 4,

    /// <summary>Two's complement, 32 bits.</summary>
    Int32 = 5,

    /// <summary>Two's complement, 64 bits.</summary>
    Int64 = 6,
}
