using System.Runtime.InteropServices;
using System.Text;
using MLNet.SDN.Agent.Discovery;

namespace MLNet.SDN.Tests.Agent.Discovery;

/// <summary>A process file system made up in a folder. In it what must not be opened is a folder, which to read is an error that the audit counts.</summary>
public sealed partial class ProcessScanTests : IDisposable
{
    private const int Nobody = 65_534;

    private const string Trainer = "RANK=1\0WORLD_SIZE=2\0MASTER_ADDR=10.0.0.1\0MASTER_PORT=29500\0";

    private readonly string root = Directory.CreateTempSubdirectory("mlnet-proc-").FullName;

    public ProcessScanTests() => Add("self", "net:[7]", null);

    public void Dispose() => Directory.Delete(root, recursive: true);

    [Fact]
    public void Look_TrainerAmongOthers_OnlyItsSocketsAreListed()
    {
        Add("100", "net:[7]", $"HOME=/root\0{Trainer}", "socket:[11]", "socket:[12]", "/dev/null", "pipe:[13]", "socket:[x]", "anon_inode:[eventpoll]");
        Add("101", "net:[7]", "HOME=/root\0PATH=/bin\0", "socket:[21]");
        Add("102", "net:[7]", ""); // a thread of the kernel
        Add("not-a-process", "net:[7]", Trainer);

        var (trainers, audit) = new ProcessScan(TrainerEnvironment.Variables, root).Look();

        var found = Assert.Single(trainers);
        Assert.Equal((100, 1007u, "torch//10.0.0.1:29500", 1), (found.ProcessId, found.Uid, found.Identity.Key, found.Identity.Rank));
        Assert.Equal([11u, 12u], found.Sockets.Order());
        Assert.Equal((3, 0, 3, 0), (audit.Processes, audit.Elsewhere, audit.Read, audit.Refused));
        Assert.Equal([100], audit.LookedInto);
    }

    [Fact]
    public void Look_OtherNamespaceOrNone_NothingButTheNamespaceIsOpened()
    {
        foreach (var (id, space) in new[] { ("100", "net:[8]"), ("101", "net:[70]"), ("102", null) })
        {
            Add(id, space, null, "socket:[11]");
            Directory.CreateDirectory(Path.Combine(root, id, "environ"));
        }

        var (trainers, audit) = new ProcessScan(TrainerEnvironment.Variables, root).Look();
        Assert.Empty(trainers);
        Assert.Equal((3, 3, 0, 0), (audit.Processes, audit.Elsewhere, audit.Read, audit.Refused));

        // The trap works: of a process of ours the same folder is told.
        Add("103", "net:[7]", null);
        Directory.CreateDirectory(Path.Combine(root, "103", "environ"));
        Assert.Equal(1, new ProcessScan(TrainerEnvironment.Variables, root).Look().Audit.Refused);
    }

    [Fact]
    public void Look_NamespaceThatMayNotBeRead_IsRefusedNotElsewhere()
    {
        Add("100", "net:[7]", Trainer);
        foreach (var directory in Directory.GetDirectories(root, "*", SearchOption.AllDirectories).Append(root))
        {
            File.SetUnixFileMode(directory, (UnixFileMode)0x1ED);
        }

        var space = Path.Combine(root, "100", "ns");
        File.SetUnixFileMode(space, UnixFileMode.None);
        ScanAudit? audit = null;
        Exception? fault = null;

        // The user for file access is the thread's own, and root that is another for a while passes no modes (setfsuid(2), capabilities(7)).
        var thread = new Thread(() =>
        {
            var former = SetFileSystemUser(Nobody);
            try
            {
                audit = new ProcessScan(TrainerEnvironment.Variables, root).Look().Audit;
            }
            catch (Exception exception)
            {
                fault = exception;
            }
            finally
            {
                _ = SetFileSystemUser(former);
            }
        });
        thread.Start();
        thread.Join();
        File.SetUnixFileMode(space, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);

        Assert.Null(fault);
        Assert.Equal((1, 0, 0, 1), (audit!.Processes, audit.Elsewhere, audit.Read, audit.Refused));
    }

    [Fact]
    public async Task Look_NumberThatPassesToAnotherProcess_WhatIsReadIsOfOne()
    {
        // After the environment comes the status, and reading that waits until the number has passed on.
        Add("100", "net:[7]", Trainer, "socket:[11]");
        var status = Path.Combine(root, "100", "status");
        File.Delete(status);
        Assert.Equal(0, MakeFifo(status, 0x180));
        var looking = Task.Run(() => new ProcessScan(TrainerEnvironment.Variables, root).Look(), TestContext.Current.CancellationToken);
        await using (var writing = new FileStream(status, FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0))
        {
            Directory.Move(Path.Combine(root, "100"), Path.Combine(root, "ended"));
            Add("100", "net:[7]", Trainer, "socket:[12]");
            await writing.WriteAsync("Uid:\t1\t1\t1\t1\n"u8.ToArray(), TestContext.Current.CancellationToken);
        }

        var found = Assert.Single((await looking).Trainers);
        Assert.Equal([11u], found.Sockets);
    }

    [Fact]
    public void Look_VariableNotAllowed_IsNotSeen()
    {
        Add("100", "net:[7]", Trainer);

        Assert.Empty(new ProcessScan(["RANK", "WORLD_SIZE", "MASTER_ADDR"], root).Look().Trainers);
        Assert.Single(new ProcessScan(["RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"], root).Look().Trainers);
    }

    [Fact]
    public void Read_EnvironmentsOfAllSizes_KeepTheAllowedAndNothingElse()
    {
        var random = new Random(3);
        var path = Path.Combine(root, "environ");
        var reader = new EnvironmentFile(["RANK", "PMIX_NAMESPACE"]);
        for (var run = 0; run < 60; run++)
        {
            // Entries that straddle the reader's buffer, one that is longer than it, one without end.
            var text = new StringBuilder("XRANK=no\0RANKED=no\0");
            while (text.Length < random.Next(200_000))
            {
                text.Append('S', random.Next(300)).Append("=secret\0");
            }

            text.Append("LONG=").Append('x', random.Next(2) * 150_000).Append('\0');
            text.Append("PMIX_NAMESPACE=job\0").Append('P', random.Next(70_000)).Append("\0RANK=5\0RANK=6");
            text.Append(random.Next(2) == 0 ? "" : "\0");
            File.WriteAllText(path, text.ToString());

            Assert.Equal([("PMIX_NAMESPACE", "job"), ("RANK", "5")], reader.Read(path).Select(v => (v.Key, v.Value)).OrderBy(v => v.Key));
        }

        File.WriteAllText(path, $"RANK={new string('9', 257)}\0PMIX_NAMESPACE=a\nb\0");
        Assert.Empty(reader.Read(path));
    }

    [LibraryImport("libc", EntryPoint = "setfsuid")]
    private static partial int SetFileSystemUser(int user);

    [LibraryImport("libc", EntryPoint = "mkfifo", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MakeFifo(string path, uint mode);

    private void Add(string id, string? space, string? environment, params string[] descriptors)
    {
        var directory = Directory.CreateDirectory(Path.Combine(root, id)).FullName;
        Directory.CreateDirectory(Path.Combine(directory, "ns"));
        if (space is not null)
        {
            File.CreateSymbolicLink(Path.Combine(directory, "ns", "net"), space);
        }

        if (environment is not null)
        {
            File.WriteAllText(Path.Combine(directory, "environ"), environment);
        }

        File.WriteAllText(Path.Combine(directory, "status"), "Name:\tpython3\nUid:\t1000\t1007\t1000\t1000\n");
        Directory.CreateDirectory(Path.Combine(directory, "fd"));
        for (var i = 0; i < descriptors.Length; i++)
        {
            File.CreateSymbolicLink(Path.Combine(directory, "fd", $"{i}"), descriptors[i]);
        }
    }
}
