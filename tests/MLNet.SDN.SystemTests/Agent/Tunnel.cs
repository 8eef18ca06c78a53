using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace MLNet.SDN.SystemTests.Agent;

/// <summary>A tun interface: packets without any link layer. What is written to it is received by the host.</summary>
internal sealed partial class Tunnel : IDisposable
{
    private const nuint SetInterface = 0x400454CA;
    private const short TunWithoutPacketInfo = 0x1001;

    private readonly SafeFileHandle handle;

    private Tunnel(SafeFileHandle handle) => this.handle = handle;

    public static Tunnel Open(string host, string name)
    {
        Assert.SkipUnless(File.Exists("/dev/net/tun"), "needs /dev/net/tun");
        return HostPair.In(host, () =>
        {
            var handle = File.OpenHandle("/dev/net/tun", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
            var request = new byte[40];
            Encoding.ASCII.GetBytes(name, request);
            BitConverter.TryWriteBytes(request.AsSpan(16), TunWithoutPacketInfo);
            return Control(handle, SetInterface, request) == 0 ? new Tunnel(handle) : throw new IOException(Marshal.GetLastPInvokeErrorMessage());
        });
    }

    // Not RandomAccess: a tunnel has no positions.
    public void Write(ReadOnlySpan<byte> packet) => Assert.Equal(packet.Length, Put(handle, packet, (nuint)packet.Length));

    public void Dispose() => handle.Dispose();

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    private static partial nint Put(SafeFileHandle file, ReadOnlySpan<byte> data, nuint length);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static partial int Control(SafeFileHandle file, nuint request, byte[] argument);
}
