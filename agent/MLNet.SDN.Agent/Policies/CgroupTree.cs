using System.Runtime.InteropServices;

namespace MLNet.SDN.Agent.Policies;

/// <summary>A control group.</summary>
/// <param name="Name">What nft calls it.</param>
/// <param name="Number">The kernel's number, which no group gets that comes after it.</param>
internal readonly record struct Cgroup(string Name, ulong Number);

/// <summary>The control groups of this host (version 2, cgroups(7)), under the names that the kernel and nftables know them by. Safe to call from any thread.</summary>
internal sealed unsafe partial class CgroupTree
{
    // nft looks for groups below here and nowhere else.
    private const string NftRoot = "/sys/fs/cgroup";

    // A slice with more groups than this is a machine's, not a job's.
    private const int MostGroups = 4096;

    // struct statx (statx(2)): 256 bytes, the inode's number at 32.
    private const int StatusBytes = 256;
    private const int InodeOffset = 32;
    private const uint InodeMask = 0x100;
    private const int CurrentDirectory = -100;

    /// <summary>Creates a tree.</summary>
    /// <param name="mount">Where it is mounted, in <c>/sys/fs/cgroup</c>.</param>
    public CgroupTree(string mount) => Mount = mount;

    /// <summary>Where it is mounted.</summary>
    public string Mount { get; }

    /// <summary>What nft calls the root.</summary>
    public string RootName => Mount.Length > NftRoot.Length ? $"{Mount[(NftRoot.Length + 1)..]}/." : ".";

    /// <summary>Finds where it is mounted.</summary>
    /// <param name="reason">Why there is none; null when there is.</param>
    /// <param name="mounts">The kernel's list (proc_pid_mountinfo(5)).</param>
    public static CgroupTree? Find(out string? reason, string mounts = "/proc/self/mountinfo")
    {
        try
        {
            // "36 35 0:31 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw": the file system's type comes after the dash.
            var paths = File.ReadLines(mounts).Select(line => line.Split(' '))
                .Where(words => Array.IndexOf(words, "-") is > 4 and var dash && words.ElementAtOrDefault(dash + 1) == "cgroup2").Select(words => words[4]).ToList();
            var mount = paths.Find(p => p == NftRoot || p.StartsWith(NftRoot + "/", StringComparison.Ordinal));
            reason = mount is not null ? null : paths.Count == 0 ? "cgroup v2 is not mounted" : $"cgroup v2 is mounted on {paths[0]}, and nft looks in {NftRoot} only";
            return mount is null ? null : new CgroupTree(mount);
        }
        catch (IOException exception)
        {
            reason = exception.Message;
            return null;
        }
    }

    /// <summary>Looks for a group.</summary>
    /// <param name="path">As <see cref="Contracts.CgroupPath"/> wants it.</param>
    /// <returns>Null when there is none now.</returns>
    public Cgroup? this[string path] => NumberOf(Mount + path) is { } number ? new Cgroup(Mount[NftRoot.Length..].TrimStart('/') + path, number) : null;

    /// <summary>Groups and all below them, by the number that the kernel gives with a socket.</summary>
    /// <param name="paths">The groups; those that are not there are passed over.</param>
    public Dictionary<ulong, string> Numbers(IEnumerable<string> paths)
    {
        var found = new Dictionary<ulong, string>();
        var left = new Stack<string>(paths);
        while (left.TryPop(out var path) && found.Count < MostGroups)
        {
            if (NumberOf(Mount + path) is not { } number || !found.TryAdd(number, path))
            {
                continue;
            }

            try
            {
                foreach (var below in Directory.EnumerateDirectories(Mount + path))
                {
                    left.Push(below[Mount.Length..]);
                }
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                // It is gone meanwhile.
            }
        }

        return found;
    }

    // The inode's number is the group's (kernfs, 64 bits).
    private static ulong? NumberOf(string directory)
    {
        var status = stackalloc byte[StatusBytes];
        return Status(CurrentDirectory, directory, 0, InodeMask, status) == 0 ? *(ulong*)(status + InodeOffset) : null;
    }

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Status(int directory, string path, int flags, uint mask, byte* status);
}
