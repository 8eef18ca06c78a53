using System.Globalization;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.Agents;

/// <summary>Checks what agents say before anything believes it. Pure. A message is refused whole, with a reason that names the field.</summary>
internal static class AgentMessages
{
    private const int MaxTexts = 64;
    private const int MaxTextLength = 1_000;
    private const int MaxRoleLength = 64;
    private const int MaxRouters = 32;
    private const int MaxAddressLength = 45;
    private const int MaxEntries = 10_000;
    private const int MaxFaults = 1_000;

    // Far above any real term, and far below where adding one could overflow.
    private const long MaxTerm = 1L << 48;

    /// <summary>Null, or what is wrong.</summary>
    public static string? Check(AgentHello? hello) =>
        hello is null ? "Hello needs one argument." :
        hello.Boot == Guid.Empty ? "boot must not be empty." :
        hello.DataPort is < 1 or > 65_535 ? $"dataPort {hello.DataPort} must be between 1 and 65535." :
        !IsLine(hello.Version, 100) ? "version must be at most 100 printable characters." :
        !IsLine(hello.InstalledHash, 128) ? "installedHash must be at most 128 printable characters." :
        hello.Installed.Term is < 0 or > MaxTerm || hello.Installed.Generation < 0 ? $"installed {hello.Installed} is no revision." :
        CheckTexts("capabilities", hello.Capabilities) ?? CheckTexts("limits", hello.Limits) ?? CheckFaults(hello.JobFaults);

    /// <summary>Null, or what is wrong.</summary>
    public static string? Check(PolicyAck? ack) =>
        ack is null ? "Acknowledge needs one argument." :
        !IsLine(ack.Hash, 128) ? "hash must be at most 128 printable characters." :
        ack.Error?.Length > 10_000 ? "error is longer than 10000 characters." : CheckFaults(ack.JobFaults);

    /// <summary>Null, or what is wrong.</summary>
    public static string? Check(ProgressReport? report) =>
        report is null ? "ReportProgress needs one argument." :
        report.Workers.Count > MaxEntries ? $"workers has {report.Workers.Count} entries, more than {MaxEntries}." :
        report.Transports.Count > MaxEntries ? $"transports has {report.Transports.Count} entries, more than {MaxEntries}." :
        report.Reductions.Count > MaxEntries ? $"reductions has {report.Reductions.Count} entries, more than {MaxEntries}." :
        report.Workers.Any(w => w is null) || report.Transports.Any(t => t is null) || report.Reductions.Any(r => r is null) ? "workers, transports and reductions must not hold null." :
        CheckTexts("troubles", report.Troubles);

    /// <summary>Null, or what is wrong.</summary>
    public static string? Check(FlowReport? report) =>
        report is null ? "ReportFlows needs one argument." :
        report.Sequence < 0 ? $"sequence {report.Sequence} must not be negative." :
        report.Records.Count > FlowReport.MaxRecords ? $"records has {report.Records.Count} entries, more than {FlowReport.MaxRecords}." :
        report.KernelDrops < 0 || report.IgnoredFrames < 0 || report.LostRecords < 0 ? "counts must not be negative." : null;

    /// <summary>Null, or what is wrong with one record. A bad record is left out and counted; the others of the report are taken.</summary>
    public static string? Check(FlowRecord? record) =>
        record is null ? "a record is null." :
        record.OctetDeltaCount < 0 || record.PacketDeltaCount < 0 ? "octetDeltaCount and packetDeltaCount must not be negative." :
        record.SourceTransportPort is < 0 or > 65_535 || record.DestinationTransportPort is < 0 or > 65_535 ? "ports must be between 0 and 65535." :
        record.ProtocolIdentifier is < 0 or > 255 ? "protocolIdentifier must be between 0 and 255." :
        record.FlowEnd < record.FlowStart ? "flowEnd must not be before flowStart." :
        record.Role is { } role && !IsLine(role, MaxRoleLength) ? string.Create(CultureInfo.InvariantCulture, $"role must be at most {MaxRoleLength} printable characters.") :
        record.Routers is { } routers && (routers.Count > MaxRouters || routers.Any(r => r is null || !IsLine(r, MaxAddressLength)))
            ? string.Create(CultureInfo.InvariantCulture, $"routers must hold at most {MaxRouters} addresses.") :
        null;

    /// <summary>Null, or what is wrong.</summary>
    public static string? Check(DiscoveryReport? report) =>
        report is null ? "ReportDiscovery needs one argument." :
        report.Jobs.Count > MaxTexts ? $"jobs has {report.Jobs.Count} entries, more than {MaxTexts}." :
        report.Jobs.Select(Check).FirstOrDefault(f => f is not null);

    private static string? Check(DiscoveredPart? job) =>
        job is null ? "jobs must not hold null." :
        job.Key.Length == 0 || !IsLine(job.Key, MaxTextLength + MaxRoleLength) ? "key must be 1-1064 printable characters." :
        !IsLine(job.Name, MaxTextLength) ? "name must be printable." :
        job.Uid < 0 || job.WorldSize < 2 ? "uid must not be negative, and worldSize at least 2." :
        job.Ranks.Count is 0 or > MaxEntries || job.Ranks.Any(r => r < 0 || r >= job.WorldSize) ? $"ranks must hold 1-{MaxEntries} of 0..worldSize-1." :
        job.Connections.Count > MaxEntries || job.Connections.Any(c => c is not { LocalPort: >= 1 and <= 65_535, RemotePort: >= 1 and <= 65_535, LocalAddress.Length: <= 45, RemoteAddress.Length: <= 45 })
            ? $"connections must be at most {MaxEntries} of two addresses and ports." :
        job.Profile is { } p && !(p.PeriodSeconds is >= 0 and < 1e6 && p.BytesPerRound >= 0 && p.DutyCycle is >= 0 and <= 1 && p.Confidence is >= 0 and <= 1 && p.Rounds >= 0)
            ? "profile holds figures out of their range." : null;

    private static bool IsLine(string text, int maxLength) => text.Length <= maxLength && !text.Any(char.IsControl);

    private static string? CheckFaults(IReadOnlyList<JobFault> faults) =>
        faults.Count > MaxFaults ? $"jobFaults has {faults.Count} entries, more than {MaxFaults}." :
        faults.Any(f => f?.Reason is null || f.Reason.Length > MaxTextLength) ? $"jobFaults must hold reasons of at most {MaxTextLength} characters." : null;

    private static string? CheckTexts(string field, IReadOnlyList<string> texts) =>
        texts.Count > MaxTexts ? $"{field} has {texts.Count} entries, more than {MaxTexts}." :
        texts.Any(t => t is null || t.Length > MaxTextLength) ? $"{field} must hold texts of at most {MaxTextLength} characters." : null;
}
