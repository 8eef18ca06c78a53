namespace MLNet.SDN.Contracts;

/// <summary>One thing wrong with an input, said so that its sender can mend it.</summary>
/// <param name="Field">Path of the field in the input, e.g. <c>workers[3]</c> or <c>links[0].rateBitsPerSecond</c>.</param>
/// <param name="Value">The value found, as text; empty when it is missing.</param>
/// <param name="Message">What is wrong and what would be right, one sentence.</param>
public sealed record FieldFault(string Field, string Value, string Message);
