using MLNet.SDN.Contracts;

namespace MLNet.SDN.Cli;

/// <summary>Files that a command line names to be read.</summary>
internal static class InputFile
{
    // A topology of 16,384 hosts has some 10 MB. /dev/zero has no end.
    private const int MostBytes = 1 << 28;

    // What a line of an error shows of a wrong value: a binary file may be one line of megabytes.
    private const int MostShown = 100;

    private static ReadOnlySpan<byte> ByteOrderMark => [0xEF, 0xBB, 0xBF];

    /// <summary>Reads a file to its end, without a byte order mark of UTF-8.</summary>
    /// <param name="path">The file; <c>-</c> is a file's name as any other.</param>
    /// <param name="error">Why there is no content, one line; empty when there is.</param>
    public static byte[]? Read(string path, out string error)
    {
        error = "";
        if (string.IsNullOrWhiteSpace(path))
        {
            error = "A file has an empty name; name one that is there.";
            return null;
        }

        if (Directory.Exists(path))
        {
            error = $"{path}: This is a directory; name a file.";
            return null;
        }

        try
        {
            using var file = File.OpenRead(path);
            return Read(file, path, out error);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            error = $"{path}: {fault.Message}";
            return null;
        }
    }

    /// <summary>Reads a stream to its end.</summary>
    /// <param name="stream">Of any length, known or not.</param>
    /// <param name="name">What errors call it.</param>
    /// <param name="error">As in <see cref="Read(string, out string)"/>.</param>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static byte[]? Read(Stream stream, string name, out string error)
    {
        error = "";
        using var all = new MemoryStream();
        var part = new byte[1 << 16];
        for (int got; (got = stream.Read(part)) > 0;)
        {
            if (all.Length + got > MostBytes)
            {
                error = $"{name}: The file has more than {MostBytes >> 20} MiB; none that is meant for this is as large.";
                return null;
            }

            all.Write(part, 0, got);
        }

        var content = all.GetBuffer().AsSpan(0, (int)all.Length);
        return (content.StartsWith(ByteOrderMark) ? content[ByteOrderMark.Length..] : content).ToArray();
    }

    /// <summary>A value out of a file as an error shows it: on one line, printable, and of bounded length.</summary>
    public static string Shown(string value) => PrintableText.Of(value.Length <= MostShown ? value : $"{value[..MostShown]}...");
}
