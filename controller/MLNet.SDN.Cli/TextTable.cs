using MLNet.SDN.Contracts;
using Spectre.Console;

namespace MLNet.SDN.Cli;

/// <summary>Tables for people.</summary>
internal static class TextTable
{
    /// <summary>Where tables go. A file or a pipe has no width and wants no colours.</summary>
    /// <param name="output">Standard output, or what stands for it.</param>
    public static IAnsiConsole Console(TextWriter output)
    {
        if (!System.Console.IsOutputRedirected && ReferenceEquals(output, System.Console.Out))
        {
            return AnsiConsole.Console;
        }

        var console = AnsiConsole.Create(new() { Ansi = AnsiSupport.No, Out = new AnsiConsoleOutput(output) });
        console.Profile.Width = 160;
        return console;
    }

    /// <summary>Writes rows below their heads; a head that begins with '&gt;' has its column to the right.</summary>
    public static void Print(TextWriter output, string[] heads, IEnumerable<string[]> rows)
    {
        var table = new Table().Border(TableBorder.Simple);
        foreach (var head in heads)
        {
            table.AddColumn(head.StartsWith('>') ? new TableColumn(head[1..]).RightAligned() : new TableColumn(head));
        }

        foreach (var row in rows)
        {
            table.AddRow([.. row.Select(cell => Markup.Escape(PrintableText.Of(cell)))]);
        }

        Console(output).Write(table);
    }
}
