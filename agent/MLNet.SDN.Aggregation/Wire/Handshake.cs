using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace MLNet.SDN.Aggregation.Wire;

/// <summary>What a connection between agents is for.</summary>
internal enum ConnectionRole : byte
{
    /// <summary>Partial sums and results.</summary>
    Data = 1,

    /// <summary>Signalling between an agent and the anchor.</summary>
    Signal = 2,
}

/// <summary>The dialler's first words. docs/protocol.md §2 is the authority.</summary>
internal sealed record Hello(ConnectionRole Role, ushort Stripe, ushort Stripes, long JobId, string From, string To, byte[] Nonce, ulong Life)
{
    /// <summary>"MLNH".</summary>
    public const uint Magic = 0x484E_4C4D;

    public const byte Version = 2;
    public const int NonceBytes = 32;
    public const int FixedBytes = 60;

    /// <summary>Bytes of a host's name at most.</summary>
    public const int MaxNameBytes = 255;

    public byte[] Serialize()
    {
        var from = Encoding.UTF8.GetBytes(From);
        var to = Encoding.UTF8.GetBytes(To);
        var bytes = new byte[FixedBytes + from.Length + to.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, Magic);
        bytes[4] = Version;
        bytes[5] = (byte)Role;
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(6), Stripe);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(8), Stripes);
        bytes[10] = (byte)from.Length;
        bytes[11] = (byte)to.Length;
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(12), JobId);
        Nonce.CopyTo(bytes, 20);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(52), Life);
        from.CopyTo(bytes, FixedBytes);
        to.CopyTo(bytes, FixedBytes + from.Length);
        return bytes;
    }

    /// <summary>Bytes of the names behind the fixed part; null when the fixed part is not that of a hello.</summary>
    public static int? NameBytes(ReadOnlySpan<byte> fixedPart) =>
        fixedPart.Length >= FixedBytes
        && BinaryPrimitives.ReadUInt32LittleEndian(fixedPart) == Magic
        && fixedPart[4] == Version
        && fixedPart[5] is (byte)ConnectionRole.Data or (byte)ConnectionRole.Signal
        && fixedPart[10] > 0
        && fixedPart[11] > 0
            ? fixedPart[10] + fixedPart[11]
            : null;

    /// <summary>Reads a whole hello. Never throws.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out Hello? hello)
    {
        hello = null;
        if (NameBytes(bytes) is not { } names || bytes.Length != FixedBytes + names)
        {
            return false;
        }

        var stripe = BinaryPrimitives.ReadUInt16LittleEndian(bytes[6..]);
        var stripes = BinaryPrimitives.ReadUInt16LittleEndian(bytes[8..]);
        if (stripe >= stripes)
        {
            return false;
        }

        hello = new Hello(
            (ConnectionRole)bytes[5],
            stripe,
            stripes,
            BinaryPrimitives.ReadInt64LittleEndian(bytes[12..]),
            Encoding.UTF8.GetString(bytes.Slice(FixedBytes, bytes[10])),
            Encoding.UTF8.GetString(bytes.Slice(FixedBytes + bytes[10], bytes[11])),
            bytes.Slice(20, NonceBytes).ToArray(),
            BinaryPrimitives.ReadUInt64LittleEndian(bytes[52..]));
        return true;
    }
}

/// <summary>The mutual challenge: each side shows that it holds the job's secret, the dialler first, so that strangers learn nothing.</summary>
internal static class Handshake
{
    public const int ProofBytes = HMACSHA256.HashSizeInBytes;

    /// <summary>The acceptor's proof, and behind it the number it drew at its start, which the proof covers.</summary>
    public const int AnswerBytes = ProofBytes + sizeof(ulong);

    private static ReadOnlySpan<byte> DiallerLabel => "mlnet-2 dialler"u8;

    private static ReadOnlySpan<byte> AcceptorLabel => "mlnet-2 acceptor"u8;

    /// <summary>HMAC-SHA256(secret, label, hello, acceptor's nonce).</summary>
    public static byte[] DiallerProof(ReadOnlySpan<byte> secret, ReadOnlySpan<byte> hello, ReadOnlySpan<byte> acceptorNonce) =>
        Proof(secret, DiallerLabel, hello, acceptorNonce, []);

    /// <summary>The acceptor's last words: HMAC-SHA256(secret, label, hello, acceptor's nonce, life), then the life.</summary>
    public static byte[] AcceptorAnswer(ReadOnlySpan<byte> secret, ReadOnlySpan<byte> hello, ReadOnlySpan<byte> acceptorNonce, ulong life)
    {
        Span<byte> lifeBytes = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(lifeBytes, life);
        return [.. Proof(secret, AcceptorLabel, hello, acceptorNonce, lifeBytes), .. lifeBytes];
    }

    /// <summary>Checks an acceptor's last words.</summary>
    /// <param name="secret">The job's.</param>
    /// <param name="hello">As sent.</param>
    /// <param name="acceptorNonce">As received.</param>
    /// <param name="answer">As received, <see cref="AnswerBytes"/> long.</param>
    /// <param name="life">Drawn by the acceptor at its start.</param>
    /// <returns>Whether the acceptor holds the secret.</returns>
    public static bool IsAnswer(ReadOnlySpan<byte> secret, ReadOnlySpan<byte> hello, ReadOnlySpan<byte> acceptorNonce, ReadOnlySpan<byte> answer, out ulong life)
    {
        life = BinaryPrimitives.ReadUInt64LittleEndian(answer[ProofBytes..]);
        return CryptographicOperations.FixedTimeEquals(answer, AcceptorAnswer(secret, hello, acceptorNonce, life));
    }

    private static byte[] Proof(ReadOnlySpan<byte> secret, ReadOnlySpan<byte> label, ReadOnlySpan<byte> hello, ReadOnlySpan<byte> acceptorNonce, ReadOnlySpan<byte> life)
    {
        using var hmac = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, secret);
        hmac.AppendData(label);
        hmac.AppendData(hello);
        hmac.AppendData(acceptorNonce);
        hmac.AppendData(life);
        return hmac.GetHashAndReset();
    }
}
