namespace MLNet.SDN.Contracts;

/// <summary>The secret that agents share with their controllers (RFC 6750 §2.1). Pure but for reading files.</summary>
public static class BearerToken
{
    /// <summary>Fewer characters could be guessed.</summary>
    public const int MinLength = 16;

    /// <summary>More would not fit well into a header.</summary>
    public const int MaxLength = 512;

    /// <summary>Null, or what is wrong with it, as the rest of a sentence; never the token itself.</summary>
    public static string? FindFault(string token) =>
        token.Length is < MinLength or > MaxLength ? $"must have {MinLength} to {MaxLength} characters, not {token.Length}; e.g. the output of 'openssl rand -hex 32'." :
        token.Any(c => c is <= ' ' or > '~') ? "must consist of printable ASCII characters without spaces." : null;

    /// <summary>Reads a token from a file: its only line.</summary>
    /// <param name="path">The file. Group and others must have no rights on it.</param>
    /// <param name="token">The token, when the result is null.</param>
    /// <returns>Null, or what is wrong, as the rest of a sentence that begins with the path.</returns>
    public static string? Read(string path, out string token)
    {
        token = "";
        try
        {
            if (!OperatingSystem.IsWindows() && (File.GetUnixFileMode(path) & (UnixFileMode)0b000_111_111) != 0)
            {
                return "can be read or written by others than its owner; chmod 600 it.";
            }

            using var file = new FileStream(path, FileMode.Open, FileAccess.Read);
            var bytes = new byte[MaxLength + 2];
            token = System.Text.Encoding.Latin1.GetString(bytes, 0, file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false)).TrimEnd('\r', '\n');
            return FindFault(token);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            return $"cannot be read: {fault.Message}";
        }
    }
}
