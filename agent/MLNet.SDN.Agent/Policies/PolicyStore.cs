using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.Win32.SafeHandles;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Policies;

/// <summary>
/// Keeps the policy in force on disk, and what was seen of its jobs here, so that an agent marks and aggregates before any controller answers. Readable by its owner only: it
/// holds the jobs' secrets.
/// </summary>
/// <remarks>A crash at any moment leaves the old policy or the new one: written aside, flushed, renamed, and the directory flushed (rename(2), fsync(2)).</remarks>
internal sealed partial class PolicyStore
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const int ReadOnlyCloseOnExec = 0x80000;
    private const string Draft = ".new";

    private readonly string directory;

    /// <summary>Names the place; touches nothing.</summary>
    /// <param name="directory">Created when it is missing.</param>
    /// <param name="host">Becomes part of the file's name: several hosts may share a filesystem.</param>
    public PolicyStore(string directory, string host)
    {
        this.directory = directory;
        FilePath = Path.Combine(directory, $"{host}.policy.json");
        SeenPath = Path.Combine(directory, $"{host}.seen.json");
    }

    /// <summary>Where the policy is.</summary>
    public string FilePath { get; }

    private string SeenPath { get; }

    /// <summary>Reads the policy.</summary>
    /// <returns>Null when none was saved.</returns>
    /// <exception cref="IOException">There is one that cannot be read.</exception>
    /// <exception cref="JsonException">There is one that is damaged.</exception>
    public HostPolicy? Load() => Load(FilePath, ContractsJson.Default.HostPolicy);

    /// <summary>Reads what was seen of its jobs.</summary>
    /// <returns>None when nothing was saved.</returns>
    /// <exception cref="IOException">It cannot be read.</exception>
    /// <exception cref="JsonException">It is damaged.</exception>
    public IReadOnlyList<SeenJob> LoadSeen() =>
        Load(SeenPath, SeenJobJson.Default.SeenJobs) is not { } seen ? [] : seen.All(s => s is not null) ? seen : throw new JsonException("The file holds null.");

    /// <summary>Replaces the policy.</summary>
    /// <exception cref="IOException">It could not be made durable; the old one stands.</exception>
    public void Save(HostPolicy policy) => Save(FilePath, policy, ContractsJson.Default.HostPolicy);

    /// <summary>Replaces what was seen of its jobs.</summary>
    /// <exception cref="IOException">It could not be made durable; the old one stands.</exception>
    public void SaveSeen(IReadOnlyList<SeenJob> seen) => Save(SeenPath, seen, SeenJobJson.Default.SeenJobs);

    /// <summary>Forgets all. Nothing happens when there is none.</summary>
    public void Delete()
    {
        if (Directory.Exists(directory))
        {
            foreach (var path in (string[])[FilePath, SeenPath])
            {
                File.Delete(path + Draft);
                File.Delete(path);
            }
        }
    }

    private static T? Load<T>(string path, JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            using var file = File.OpenRead(path);
            return JsonSerializer.Deserialize(file, type) ?? throw new JsonException("The file holds null.");
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        catch (UnauthorizedAccessException exception)
        {
            throw new IOException(exception.Message, exception);
        }
    }

    private void Save<T>(string path, T value, JsonTypeInfo<T> type)
    {
        var aside = path + Draft;
        try
        {
            Directory.CreateDirectory(directory, OwnerOnly | UnixFileMode.UserExecute);

            // A draft left by a crash may have another mode or owner: it is not written over but made anew.
            File.Delete(aside);
            using (var draft = new FileStream(aside, new FileStreamOptions
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.Write,
                UnixCreateMode = OwnerOnly,
            }))
            {
                JsonSerializer.Serialize(draft, value, type);
                draft.Flush(flushToDisk: true);
            }

            File.Move(aside, path, overwrite: true);
            FlushDirectory();
        }
        catch (UnauthorizedAccessException exception)
        {
            throw new IOException(exception.Message, exception);
        }
    }

    private void FlushDirectory()
    {
        using var handle = new SafeFileHandle(OpenFile(directory, ReadOnlyCloseOnExec), ownsHandle: true);
        if (handle.IsInvalid || Flush(handle) != 0)
        {
            throw new IOException($"Flushing {directory}: {Marshal.GetLastPInvokeErrorMessage()}");
        }
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenFile(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Flush(SafeFileHandle file);
}
