using System.Globalization;

namespace MLNet.SDN.Contracts;

/// <summary>Texts of others, as they may stand in a log or on a terminal.</summary>
public static class PrintableText
{
    /// <summary>The text on one line, without characters that a terminal obeys, so that nobody writes lines of their own; each of them becomes a blank.</summary>
    public static string Of(string text) => text.Any(IsUnprintable) ? string.Concat(text.Select(c => IsUnprintable(c) ? ' ' : c)) : text;

    private static bool IsUnprintable(char c) =>
        char.IsControl(c) || char.GetUnicodeCategory(c) is UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator;
}
