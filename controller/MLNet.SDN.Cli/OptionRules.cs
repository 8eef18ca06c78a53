using System.CommandLine;
using System.CommandLine.Parsing;

namespace MLNet.SDN.Cli;

/// <summary>Rules for the values of options.</summary>
internal static class OptionRules
{
    /// <summary>Adds a rule.</summary>
    /// <param name="option">Whose rule it is.</param>
    /// <param name="fault">What is wrong with its value, or null. May read other options too.</param>
    public static void Require(this Option option, Func<OptionResult, string?> fault) => option.Validators.Add(r =>
    {
        try
        {
            if (fault(r) is { } wrong)
            {
                r.AddError(wrong);
            }
        }
        catch (InvalidOperationException)
        {
            // Rules are asked before values are read. One that cannot be read, such as abc for a number, has no value to judge, and the parser has said so by now.
        }
    });
}
