namespace MLNet.SDN.Planning.Simulation.Traces;

/// <summary>Bytes of gradient of well-known models in float32, as published; for traces, which name models but not their sizes.</summary>
public static class ModelSizes
{
    // Names without case, hyphens and underscores. Longer names that begin so are the same model ("shufflenet_v2_x1_0", "resnet50-v1.5"); the longest match counts.
    private static readonly SortedDictionary<string, double> Bytes = new(StringComparer.Ordinal)
    {
        ["a2c"] = 6.7e6, // the convolutional network of the Atari agents, 1.7 million parameters
        ["alexnet"] = 244e6,
        ["bert"] = 440e6, // base, which is meant where nothing is said
        ["bertlarge"] = 1.36e9,
        ["dqn"] = 6.7e6,
        ["gpt2"] = 500e6,
        ["inceptionv3"] = 100e6,
        ["resnet18"] = 45e6,
        ["resnet50"] = 102e6,
        ["resnet152"] = 241e6,
        ["shufflenetv2"] = 9e6,
        ["vgg16"] = 553e6,
        ["vgg19"] = 575e6,
    };

    /// <summary>Known names.</summary>
    public static IReadOnlyCollection<string> Names => Bytes.Keys;

    /// <summary>Bytes of a model; false when the name is not known.</summary>
    public static bool TryFind(string name, out double bytes)
    {
        var plain = name.Replace("-", "", StringComparison.Ordinal).Replace("_", "", StringComparison.Ordinal).Replace(".", "", StringComparison.Ordinal).ToLowerInvariant();
        var key = Bytes.Keys.Where(k => plain.StartsWith(k, StringComparison.Ordinal) && (plain.Length == k.Length || !char.IsDigit(plain[k.Length]))).MaxBy(k => k.Length);
        bytes = key is null ? 0 : Bytes[key];
        return key is not null;
    }
}
