using System.Globalization;
using System.Net;
using System.Text;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Agent.Discovery;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Configuration;

/// <summary>Turns configuration into <see cref="AgentOptions"/>. Every fault is found, not just the first, and a key that nobody reads is a fault: a typo must not pass for a default.</summary>
internal sealed class AgentOptionsReader
{
    private const string Section = "Agent";

    // sockaddr_un.sun_path holds 108 bytes with its terminator (unix(7)).
    private const int MaxUnixPathBytes = 107;

    // Each has a thread and a ring of its own.
    private const int MaxInterfaces = 16;

    private readonly IConfigurationSection section;
    private readonly List<FieldFault> faults = [];
    private readonly HashSet<string> known = new(StringComparer.OrdinalIgnoreCase);

    private AgentOptionsReader(IConfiguration configuration) => section = configuration.GetSection(Section);

    /// <summary>Reads the options.</summary>
    /// <param name="configuration">All sources merged; keys outside section <c>Agent</c> are not looked at.</param>
    /// <param name="faults">Every fault found; empty when the result is not null.</param>
    /// <returns>Null when anything is wrong.</returns>
    public static AgentOptions? Read(IConfiguration configuration, out IReadOnlyList<FieldFault> faults)
    {
        var reader = new AgentOptionsReader(configuration);
        var options = reader.ReadAll();
        faults = reader.faults;
        return faults.Count == 0 ? options : null;
    }

    private AgentOptions ReadAll()
    {
        var host = Required("Host", "Give the host's name in the topology.");
        if (host.Length > 0 && !IsHostName(host))
        {
            Fault("Host", host, "A host's name is 1-63 letters, digits, '-', '_' or '.', starting with a letter or digit.");
            host = "";
        }

        var aggregate = Boolean("Aggregate", true);
        var capture = Boolean("Capture", true);
        var workerSocket = AbsolutePath("WorkerSocket", $"/run/mlnet/{host}.sock");
        var options = new AgentOptions
        {
            Host = host,
            Controllers = Controllers(),
            Token = Token(),
            TokenFile = TokenFile(),
            Interfaces = Interfaces(capture),
            DataAddress = DataAddress(aggregate),
            DataPort = Integer("DataPort", AgentOptions.DefaultDataPort, 0, 65_535, "a TCP port; 0 lets the kernel choose"),
            StateDirectory = AbsolutePath("StateDirectory", "/var/lib/mlnet"),
            WorkerSocket = workerSocket,
            ControlSocket = AbsolutePath("ControlSocket", Path.Combine(Path.IsPathFullyQualified(workerSocket) ? Path.GetDirectoryName(workerSocket)! : "/run/mlnet", $"{host}.control.sock")),
            Aggregate = aggregate,
            Capture = capture,
            Mark = Boolean("Mark", true),
            Queues = Boolean("Queues", false),
            AllowedDscp = AllowedDscp(),
            IpfixCollector = IpfixCollector(),
            ProbePaths = Boolean("ProbePaths", true),
            CaptureRingBytes = Integer("CaptureRingBytes", 2 << 20, 256 << 10, 64 << 20, "bytes"),
            FlowTableEntries = Integer("FlowTableEntries", 65_536, 64, 1_000_000, "flows"),
            FlowIdleTimeout = Duration("FlowIdleTimeout", 30, 2, 50),
            ReportInterval = Duration("ReportInterval", 10, 1, 60),
            PendingRecords = Integer("PendingRecords", 50_000, 1_000, 10_000_000, "flow records"),
            Discover = Boolean("Discover", false),
            DiscoverySocket = AbsolutePath("DiscoverySocket", Path.Combine(Path.IsPathFullyQualified(workerSocket) ? Path.GetDirectoryName(workerSocket)! : "/run/mlnet", $"{host}.discovery.sock")),
            DiscoveryInterval = Duration("DiscoveryInterval", 5, 1, 20),
            DiscoveryVariables = DiscoveryVariables(),
            LogLevel = Level(),
        };

        foreach (var (key, path) in new[] { ("WorkerSocket", options.WorkerSocket), ("ControlSocket", options.ControlSocket), ("DiscoverySocket", options.DiscoverySocket) })
        {
            if (Encoding.UTF8.GetByteCount(path) > MaxUnixPathBytes)
            {
                Fault(key, path, $"The kernel takes at most {MaxUnixPathBytes} bytes for the path of a Unix socket; choose a shorter one.");
            }
        }

        if (options.WorkerSocket == options.ControlSocket)
        {
            Fault("ControlSocket", options.ControlSocket, "Workers have that socket (Agent:WorkerSocket); give this one another path.");
        }

        if (options.DiscoverySocket == options.WorkerSocket || options.DiscoverySocket == options.ControlSocket)
        {
            Fault("DiscoverySocket", options.DiscoverySocket, "Agent:WorkerSocket or Agent:ControlSocket has that path; give this one another.");
        }

        UnknownKeys();
        return options;
    }

    private static bool IsHostName(string text) =>
        text.Length <= 63 && char.IsAsciiLetterOrDigit(text[0]) && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.');

    private List<Uri> Controllers()
    {
        known.Add("Controllers");
        var controllers = new List<Uri>();
        var entries = section.GetSection("Controllers").GetChildren().ToList();
        if (entries.Count == 0)
        {
            Fault("Controllers", section["Controllers"] ?? "", $"Give at least one controller as a list, e.g. --{Section}:Controllers:0=http://192.0.2.1:8080.");
        }

        foreach (var entry in entries)
        {
            if (Uri.TryCreate(entry.Value, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https" && uri.Query.Length == 0 && uri.Fragment.Length == 0)
            {
                controllers.Add(uri);
            }
            else
            {
                Fault($"Controllers:{entry.Key}", entry.Value ?? "", "A controller is an http or https address such as http://192.0.2.1:8080.");
            }
        }

        return controllers;
    }

    private string? Token()
    {
        var token = Text("Token");
        if (token is not null && BearerToken.FindFault(token) is { } fault)
        {
            // A secret is not repeated.
            Fault("Token", "", $"It {fault}");
        }

        if (token is not null && Text("TokenFile") is not null)
        {
            Fault("Token", "", $"{Section}:TokenFile is set too; keep the file.");
        }

        return token;
    }

    private string? TokenFile()
    {
        var file = Text("TokenFile");
        if (file is not null && BearerToken.Read(file, out _) is { } fault)
        {
            Fault("TokenFile", file, $"The file {fault}");
        }

        return file;
    }

    private List<string> Interfaces(bool capture)
    {
        var names = (Text("Interface") ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).ToList();
        if (names.Count == 0 && capture)
        {
            Fault("Interface", "", $"Name the data interface, e.g. eth0, or switch capture off with --{Section}:Capture=false.");
        }

        if (names.Distinct(StringComparer.Ordinal).Count() != names.Count || names.Count > MaxInterfaces)
        {
            Fault("Interface", string.Join(',', names), $"Each interface stands once, and there are at most {MaxInterfaces}.");
        }

        // IFNAMSIZ is 16 with the terminator; the kernel forbids '/', ':' and white space (dev_valid_name).
        foreach (var name in names.Where(n => n.Length > 15 || n is "." or ".." || n.Any(c => c is '/' or ':' || char.IsWhiteSpace(c) || c > 126)))
        {
            Fault("Interface", name, "An interface's name has 1-15 characters, without '/', ':' and spaces.");
        }

        return names;
    }

    private HashSet<Dscp>? AllowedDscp()
    {
        if (Text("AllowedDscp") is not { } text)
        {
            return null;
        }

        var allowed = new HashSet<Dscp>();
        foreach (var name in text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (Dscp.TryParse(name, out var dscp))
            {
                allowed.Add(dscp);
            }
            else
            {
                Fault("AllowedDscp", name, "Code points with commas between are needed: names such as AF41, or 0..63.");
            }
        }

        return allowed;
    }

    private IReadOnlyList<string> DiscoveryVariables()
    {
        var text = Text("DiscoveryVariables");
        var names = text?.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) ?? [];
        foreach (var name in names.Where(n => !TrainerEnvironment.Variables.Contains(n)))
        {
            Fault("DiscoveryVariables", name, $"No rule asks for it, so it is not to be read; known are {string.Join(", ", TrainerEnvironment.Variables)}.");
        }

        return text is null ? TrainerEnvironment.Variables : names;
    }

    private IPEndPoint? IpfixCollector()
    {
        var text = Text("IpfixCollector");
        if (text is null || (IPEndPoint.TryParse(text, out var collector) && collector.Port > 0))
        {
            return text is null ? null : IPEndPoint.Parse(text);
        }

        Fault("IpfixCollector", text, "An IP address and a UDP port are needed, e.g. 192.0.2.1:4739 or [2001:db8::1]:4739.");
        return null;
    }

    private IPAddress? DataAddress(bool aggregate)
    {
        var text = Text("DataAddress");
        if (text is null)
        {
            if (aggregate)
            {
                Fault("DataAddress", "", $"Give the IP address of this host's data plane, or switch it off with --{Section}:Aggregate=false.");
            }

            return null;
        }

        if (IPAddress.TryParse(text, out var address))
        {
            return address;
        }

        Fault("DataAddress", text, "An IPv4 or IPv6 address is needed, without a prefix length.");
        return null;
    }

    private string? Text(string key)
    {
        known.Add(key);
        var text = section[key]?.Trim();
        return string.IsNullOrEmpty(text) ? null : text;
    }

    private string Required(string key, string remedy)
    {
        var text = Text(key);
        if (text is null)
        {
            Fault(key, "", remedy);
        }

        return text ?? "";
    }

    private string AbsolutePath(string key, string fallback)
    {
        var path = Text(key) ?? fallback;
        if (!Path.IsPathFullyQualified(path) || path.Contains('\0', StringComparison.Ordinal))
        {
            Fault(key, path, "An absolute path is needed.");
        }

        return path;
    }

    private bool Boolean(string key, bool fallback)
    {
        var text = Text(key);
        if (text is null || bool.TryParse(text, out fallback))
        {
            return fallback;
        }

        Fault(key, text, "Say true or false.");
        return fallback;
    }

    private int Integer(string key, int fallback, int least, int most, string unit)
    {
        var text = Text(key);
        if (text is null)
        {
            return fallback;
        }

        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value) && value >= least && value <= most)
        {
            return value;
        }

        Fault(key, text, $"A whole number from {least} to {most} is needed ({unit}).");
        return fallback;
    }

    private TimeSpan Duration(string key, int fallbackSeconds, int leastSeconds, int mostSeconds)
    {
        var text = Text(key);
        if (text is null)
        {
            return TimeSpan.FromSeconds(fallbackSeconds);
        }

        if (text.Contains(':', StringComparison.Ordinal) && TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out var value)
            && value >= TimeSpan.FromSeconds(leastSeconds) && value <= TimeSpan.FromSeconds(mostSeconds))
        {
            return value;
        }

        Fault(key, text, $"A duration hh:mm:ss from {TimeSpan.FromSeconds(leastSeconds)} to {TimeSpan.FromSeconds(mostSeconds)} is needed.");
        return TimeSpan.FromSeconds(fallbackSeconds);
    }

    private LogLevel Level()
    {
        var text = Text("LogLevel");
        if (text is null)
        {
            return LogLevel.Information;
        }

        if (!char.IsAsciiDigit(text[0]) && Enum.TryParse<LogLevel>(text, ignoreCase: true, out var level))
        {
            return level;
        }

        Fault("LogLevel", text, $"One of {string.Join(", ", Enum.GetNames<LogLevel>())} is needed.");
        return LogLevel.Information;
    }

    private void UnknownKeys()
    {
        foreach (var child in section.GetChildren())
        {
            if (!known.Contains(child.Key))
            {
                Fault(child.Key, child.Value ?? "", $"There is no such option; known are {string.Join(", ", known.Order(StringComparer.Ordinal))}.");
            }
            else if (!child.Key.Equals("Controllers", StringComparison.OrdinalIgnoreCase) && child.GetChildren().Any())
            {
                Fault(child.Key, "", "A single value is needed here, not a section.");
            }
        }
    }

    private void Fault(string key, string value, string message) => faults.Add(new FieldFault($"{Section}:{key}", value, message));
}
