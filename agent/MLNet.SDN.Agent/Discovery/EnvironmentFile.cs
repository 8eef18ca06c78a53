using System.Security.Cryptography;
using System.Text;

namespace MLNet.SDN.Agent.Discovery;

/// <summary>Reads allowed variables out of <c>/proc/PID/environ</c> (proc(5)) and forgets the rest: values of other variables never become text, and the memory they passed through is cleared.</summary>
/// <remarks>Not thread-safe: it has one buffer, pinned so that the collector leaves no copies of it behind.</remarks>
internal sealed class EnvironmentFile
{
    // execve(2) allows more, but no launcher does.
    private const int MaxBytes = 4 << 20;

    private const int MaxValueBytes = 256;

    private readonly byte[] buffer = GC.AllocateUninitializedArray<byte>(64 << 10, pinned: true);
    private readonly (string Name, byte[] Prefix)[] allowed;
    private readonly int longest;

    /// <summary>Creates a reader.</summary>
    /// <param name="variables">Names of the variables that may be read.</param>
    public EnvironmentFile(IEnumerable<string> variables)
    {
        allowed = [.. variables.Select(v => (v, Encoding.ASCII.GetBytes(v + "=")))];
        longest = allowed.Select(a => a.Prefix.Length).DefaultIfEmpty(0).Max() + MaxValueBytes;
    }

    /// <summary>Reads the allowed variables of an environment.</summary>
    /// <param name="path">The file.</param>
    /// <returns>Those that it has, the first of each name; without values that are no printable ASCII or longer than 256 bytes.</returns>
    /// <exception cref="IOException">It cannot be read: the process has ended.</exception>
    /// <exception cref="UnauthorizedAccessException">This process may not read it.</exception>
    public Dictionary<string, string> Read(string path)
    {
        var found = new Dictionary<string, string>(StringComparer.Ordinal);
        using var file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        try
        {
            // Entries end with a zero byte. Of one that does not fit the buffer only the start can matter, the rest is passed over.
            var (kept, skipping) = (0, false);
            for (long offset = 0; offset < MaxBytes;)
            {
                var got = RandomAccess.Read(file, buffer.AsSpan(kept), offset);
                offset += got;
                var bytes = buffer.AsSpan(0, kept + got);
                for (var end = bytes.IndexOf((byte)0); end >= 0; end = bytes.IndexOf((byte)0))
                {
                    Take(skipping ? [] : bytes[..end], found);
                    skipping = false;
                    bytes = bytes[(end + 1)..];
                }

                if (got == 0)
                {
                    // A process that rewrote its own may leave out the last zero.
                    Take(skipping ? [] : bytes, found);
                    break;
                }

                skipping |= bytes.Length > longest;
                kept = skipping ? 0 : bytes.Length;
                bytes[..kept].CopyTo(buffer);
            }
        }
        finally
        {
            CryptographicOperations.ZeroMemory(buffer);
        }

        return found;
    }

    private void Take(ReadOnlySpan<byte> entry, Dictionary<string, string> found)
    {
        foreach (var (name, prefix) in allowed)
        {
            if (entry.StartsWith(prefix))
            {
                var value = entry[prefix.Length..];
                if (value.Length <= MaxValueBytes && !value.ContainsAnyExceptInRange((byte)' ', (byte)'~'))
                {
                    found.TryAdd(name, Encoding.ASCII.GetString(value));
                }

                return;
            }
        }
    }
}
