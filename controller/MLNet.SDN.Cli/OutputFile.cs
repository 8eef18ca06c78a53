namespace MLNet.SDN.Cli;

/// <summary>A file that a command line names to be written: proved writable before the work, written aside and renamed after it, so that nobody ever finds half of it.</summary>
internal sealed class OutputFile
{
    private readonly string target;

    private OutputFile(string path, string target, bool isInPlace) => (Path, this.target, IsInPlace) = (path, target, isInPlace);

    /// <summary>As it was named.</summary>
    public string Path { get; }

    /// <summary>Whether it is a device, such as standard output, which is written as it stands.</summary>
    public bool IsInPlace { get; }

    /// <summary>Checks that a file can be written, and leaves no trace.</summary>
    /// <param name="option">Option that names it, for the error.</param>
    /// <param name="path">The file.</param>
    /// <param name="error">Why not, one line; empty when the result is not null.</param>
    public static OutputFile? Prepare(string option, string path, out string error)
    {
        error = "";
        if (string.IsNullOrWhiteSpace(path))
        {
            error = $"{option} needs the name of a file.";
            return null;
        }

        if (Directory.Exists(path))
        {
            error = $"{option}: {path} is a directory; name a file.";
            return null;
        }

        try
        {
            var full = System.IO.Path.GetFullPath(path);
            if (System.IO.Path.GetDirectoryName(full) is { } directory && !Directory.Exists(directory))
            {
                error = $"{option}: there is no directory {directory}; make it first.";
                return null;
            }

            // Standard output, the null device, a shell's pipes: nothing may take their place.
            if (IsDevice(full))
            {
                return File.Exists(full) ? new(path, full, isInPlace: true) : throw new FileNotFoundException("there is no such file, and none can be made there");
            }

            // A link goes on to lead where it leads.
            var file = new OutputFile(path, Followed(full), isInPlace: false);
            if (File.Exists(file.target))
            {
                // Renaming would also replace a file that its owner has protected.
                File.Open(file.target, FileMode.Open, FileAccess.Write).Dispose();
            }

            var draft = file.Draft();
            File.Open(draft, FileMode.CreateNew).Dispose();
            File.Delete(draft);
            return file;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or ArgumentException)
        {
            error = $"{option}: {path} cannot be written: {fault.Message}";
            return null;
        }
    }

    /// <summary>Whether both are the same file.</summary>
    /// <param name="other">Path of a file that is or is not there.</param>
    public bool Is(string other) => !IsInPlace && target == Followed(System.IO.Path.GetFullPath(other));

    /// <inheritdoc cref="Is(string)"/>
    public bool Is(OutputFile other) => !IsInPlace && target == other.target;

    /// <summary>Writes the file, whole or not at all.</summary>
    /// <exception cref="IOException">It could not be written; what was there before still is.</exception>
    public async Task WriteAsync(ReadOnlyMemory<byte> content, CancellationToken cancellationToken)
    {
        if (IsInPlace)
        {
            await File.WriteAllBytesAsync(target, content, cancellationToken);
            return;
        }

        var draft = Draft();
        try
        {
            await File.WriteAllBytesAsync(draft, content, cancellationToken);
            if (!OperatingSystem.IsWindows() && File.Exists(target))
            {
                File.SetUnixFileMode(draft, File.GetUnixFileMode(target));
            }

            File.Move(draft, target, overwrite: true);
        }
        finally
        {
            File.Delete(draft); // of a write that failed; else there is none
        }
    }

    private static string Followed(string path) => new FileInfo(path).LinkTarget is null ? path : File.ResolveLinkTarget(path, returnFinalTarget: true)!.FullName;

    private static bool IsDevice(string path) =>
        path.StartsWith("/proc/", StringComparison.Ordinal) || (path.StartsWith("/dev/", StringComparison.Ordinal) && !path.StartsWith("/dev/shm/", StringComparison.Ordinal));

    // Beside the file: a rename does not cross file systems.
    private string Draft() => System.IO.Path.Combine(System.IO.Path.GetDirectoryName(target)!, $".mlnetctl-{Environment.ProcessId}-{Guid.NewGuid():N}.tmp");
}
