using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace MLNet.SDN.Agent.Discovery;

/// <summary>A process of a distributed job.</summary>
/// <param name="ProcessId">As this process sees it.</param>
/// <param name="Uid">Its user.</param>
/// <param name="Identity">Its place in the job.</param>
/// <param name="Sockets">Inodes of the sockets that it has open.</param>
internal sealed record Trainer(int ProcessId, uint Uid, TrainerIdentity Identity, IReadOnlySet<uint> Sockets);

/// <summary>What a scan looked into: the audit of discovery.</summary>
/// <param name="Processes">Processes that there were.</param>
/// <param name="Elsewhere">Of these, those of other network namespaces, or that have none any more: nothing else of them was opened.</param>
/// <param name="Read">Those whose environment was searched for allowed variables.</param>
/// <param name="Refused">Those of which something could not be read for want of rights, be it only the namespace.</param>
/// <param name="LookedInto">Those with a place in a job, whose sockets were listed.</param>
internal sealed record ScanAudit(int Processes, int Elsewhere, int Read, int Refused, IReadOnlyList<int> LookedInto);

/// <summary>Finds processes of distributed jobs by <c>/proc</c> (proc(5)). One caller at a time.</summary>
/// <remarks>
/// Order of a look at a process: (1) its network namespace, and if that is not ours nothing more; (2) allowed variables of its environment, and without a place in
/// a job nothing more; (3) its user and its open sockets; (4) its namespace again, which it may have left meanwhile. All by one descriptor of its folder, which stays with the process
/// when it ends and its number passes to another: what is read belongs to one process.
/// </remarks>
internal sealed partial class ProcessScan
{
    private const string SocketPrefix = "socket:[";
    private const int ReadOnlyCloseOnExec = 0x80000;
    private const int NotPermitted = 1;
    private const int AccessDenied = 13;
    private const int MaxLinkBytes = 128;

    private readonly string root;
    private readonly EnvironmentFile environment;

    /// <summary>Creates a scan.</summary>
    /// <param name="variables">Environment variables that may be read.</param>
    /// <param name="root">Where the process file system is.</param>
    public ProcessScan(IEnumerable<string> variables, string root = "/proc") => (environment, this.root) = (new EnvironmentFile(variables), root);

    /// <summary>Looks once.</summary>
    /// <exception cref="IOException">This process's own namespace cannot be told.</exception>
    public (IReadOnlyList<Trainer> Trainers, ScanAudit Audit) Look()
    {
        var own = Link(Path.Combine(root, "self", "ns", "net")) ?? throw new IOException($"{root}/self/ns/net cannot be read.");
        var trainers = new List<Trainer>();
        var (processes, elsewhere, read, refused) = (0, 0, 0, 0);
        foreach (var directory in Directory.EnumerateDirectories(root))
        {
            if (!int.TryParse(Path.GetFileName(directory), NumberStyles.None, CultureInfo.InvariantCulture, out var id))
            {
                continue;
            }

            processes++;
            try
            {
                using var opened = new SafeFileHandle(OpenFile(directory, ReadOnlyCloseOnExec), ownsHandle: true);
                if (opened.IsInvalid)
                {
                    // Hidden, or ended meanwhile.
                    _ = IsRefused() ? refused++ : elsewhere++;
                    continue;
                }

                var process = $"/proc/self/fd/{opened.DangerousGetHandle()}";
                var space = $"{process}/ns/net";
                if (Link(space) != own)
                {
                    elsewhere++;
                    continue;
                }

                read++;
                if (TrainerEnvironment.Identify(environment.Read($"{process}/environ")) is { } identity
                    && UserOf($"{process}/status") is { } uid
                    && SocketsOf($"{process}/fd") is var sockets
                    && Link(space) == own)
                {
                    trainers.Add(new Trainer(id, uid, identity, sockets));
                }
            }
            catch (UnauthorizedAccessException)
            {
                refused++;
            }
            catch (IOException)
            {
                // It has ended meanwhile.
            }
        }

        return (trainers, new ScanAudit(processes, elsewhere, read, refused, [.. trainers.Select(t => t.ProcessId)]));
    }

    private static HashSet<uint> SocketsOf(string directory)
    {
        var sockets = new HashSet<uint>();
        foreach (var descriptor in Directory.EnumerateFileSystemEntries(directory))
        {
            if (Link(descriptor) is { } target && target.StartsWith(SocketPrefix, StringComparison.Ordinal)
                && uint.TryParse(target.AsSpan(SocketPrefix.Length).TrimEnd(']'), NumberStyles.None, CultureInfo.InvariantCulture, out var inode))
            {
                sockets.Add(inode);
            }
        }

        return sockets;
    }

    // "Uid:	real	effective	saved	filesystem".
    private static uint? UserOf(string path)
    {
        var line = File.ReadLines(path).FirstOrDefault(l => l.StartsWith("Uid:", StringComparison.Ordinal));
        return line?.Split((char[])['\t', ' '], StringSplitOptions.RemoveEmptyEntries) is [_, _, var effective, ..]
            && uint.TryParse(effective, NumberStyles.None, CultureInfo.InvariantCulture, out var uid) ? uid : null;
    }

    // Null when there is none.
    private static unsafe string? Link(string path)
    {
        Span<byte> target = stackalloc byte[MaxLinkBytes];
        nint length;
        fixed (byte* start = target)
        {
            length = ReadLink(path, start, MaxLinkBytes);
        }

        return length >= 0 ? Encoding.UTF8.GetString(target[..(int)length])
            : IsRefused() ? throw new UnauthorizedAccessException(path) : null;
    }

    private static bool IsRefused() => Marshal.GetLastPInvokeError() is NotPermitted or AccessDenied;

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenFile(string path, int flags);

    [LibraryImport("libc", EntryPoint = "readlink", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial nint ReadLink(string path, byte* target, nint size);
}
