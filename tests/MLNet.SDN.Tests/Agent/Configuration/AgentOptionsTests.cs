using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Agent.Configuration;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Agent.Configuration;

public sealed class AgentOptionsTests
{
    private static readonly Dictionary<string, string?> Least = new()
    {
        ["Agent:Host"] = "h0-0-0",
        ["Agent:Controllers:0"] = "http://198.18.0.1:8080",
        ["Agent:Interface"] = "h0-0-0-eth0",
        ["Agent:DataAddress"] = "10.0.0.2",
    };

    [Fact]
    public void Read_OnlyWhatIsRequired_DefaultsAreGood()
    {
        var options = Read(Least, out var faults);

        Assert.Empty(faults);
        Assert.NotNull(options);
        Assert.Equal(("h0-0-0", "h0-0-0-eth0", "10.0.0.2", 7471), (options.Host, Assert.Single(options.Interfaces), options.DataAddress!.ToString(), options.DataPort));
        Assert.True(options is { Aggregate: true, Capture: true, Mark: true, LogLevel: LogLevel.Information });
        Assert.Contains("h0-0-0", options.WorkerSocket, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_BadToken_IsAFaultThatDoesNotRepeatIt()
    {
        Assert.Null(Read(new(Least) { ["Agent:Token"] = "too short" }, out var faults));
        var fault = Assert.Single(faults);
        Assert.Equal(("Agent:Token", ""), (fault.Field, fault.Value));
        Assert.DoesNotContain("too short", fault.Message, StringComparison.Ordinal);

        Assert.Null(Read(new(Least) { ["Agent:TokenFile"] = "/nonexistent/token" }, out faults));
        Assert.Equal("Agent:TokenFile", Assert.Single(faults).Field);
        Assert.Equal("0123456789abcdef", Read(new(Least) { ["Agent:Token"] = "0123456789abcdef" }, out faults)!.Token);
    }

    [Fact]
    public void Read_EverySetting_IsRead()
    {
        var options = Read(
            new(Least)
            {
                ["Agent:Controllers:1"] = "https://controller.example:8443/base/",
                ["agent:dataport"] = "0",
                ["Agent:StateDirectory"] = "/tmp/state",
                ["Agent:WorkerSocket"] = "/tmp/h0-0-0.sock",
                ["Agent:Aggregate"] = "false",
                ["Agent:Capture"] = "False",
                ["Agent:Mark"] = "false",
                ["Agent:CaptureRingBytes"] = "4194304",
                ["Agent:FlowTableEntries"] = "100",
                ["Agent:FlowIdleTimeout"] = "00:00:20",
                ["Agent:ReportInterval"] = "00:00:05",
                ["Agent:PendingRecords"] = "2000",
                ["Agent:LogLevel"] = "debug",
            },
            out var faults);

        Assert.Empty(faults);
        Assert.NotNull(options);
        Assert.Equal(2, options.Controllers.Count);
        Assert.Equal(
            (0, "/tmp/state", "/tmp/h0-0-0.sock", false, false, false, 4 << 20, 100, 2000, LogLevel.Debug),
            (options.DataPort, options.StateDirectory, options.WorkerSocket, options.Aggregate, options.Capture, options.Mark, options.CaptureRingBytes,
                options.FlowTableEntries, options.PendingRecords, options.LogLevel));
        Assert.Equal((TimeSpan.FromSeconds(20), TimeSpan.FromSeconds(5)), (options.FlowIdleTimeout, options.ReportInterval));
    }

    [Theory]
    [InlineData("Host", "")]
    [InlineData("Host", "../etc")]
    [InlineData("Host", "-h")]
    [InlineData("Host", "h 0")]
    [InlineData("Controllers:0", "198.18.0.1:8080")]
    [InlineData("Controllers:0", "ftp://198.18.0.1")]
    [InlineData("Controllers:0", "http://x/?a=b")]
    [InlineData("Interface", "eth0/1")]
    [InlineData("Interface", "an-interface-too-long")]
    [InlineData("Interface", "..")]
    [InlineData("Interface", "eth0,eth0")]
    [InlineData("Interface", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q")]
    [InlineData("ControlSocket", "here.sock")]
    [InlineData("AllowedDscp", "AF41,loud")]
    [InlineData("AllowedDscp", "64")]
    [InlineData("IpfixCollector", "192.0.2.1")]
    [InlineData("IpfixCollector", "collector:4739")]
    [InlineData("Queues", "htb")]
    [InlineData("ControlSocket", "/run/mlnet/h0-0-0.sock")]
    [InlineData("Interface", "")]
    [InlineData("DataAddress", "h0-0-0")]
    [InlineData("DataAddress", "10.0.0.2/30")]
    [InlineData("DataAddress", "")]
    [InlineData("DataPort", "65536")]
    [InlineData("DataPort", "-1")]
    [InlineData("DataPort", "7471.0")]
    [InlineData("StateDirectory", "relative/path")]
    [InlineData("WorkerSocket", "agent.sock")]
    [InlineData("Aggregate", "yes")]
    [InlineData("CaptureRingBytes", "1")]
    [InlineData("FlowTableEntries", "63")]
    [InlineData("FlowIdleTimeout", "00:01:00")]
    [InlineData("FlowIdleTimeout", "30")]
    [InlineData("ReportInterval", "00:00:00.5")]
    [InlineData("PendingRecords", "999")]
    [InlineData("LogLevel", "loud")]
    [InlineData("LogLevel", "3")]
    [InlineData("Controler", "http://198.18.0.1")]
    [InlineData("DataPort:0", "5")]
    public void Read_OneFault_NamesTheSettingAndARemedy(string key, string value)
    {
        Assert.Null(Read(new(Least) { [$"Agent:{key}"] = value }, out var faults));

        var fault = Assert.Single(faults);
        Assert.StartsWith($"Agent:{key.Split(':')[0]}", fault.Field, StringComparison.Ordinal);
        Assert.EndsWith(".", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_ListsAndAddresses_AreTakenApart()
    {
        var options = Read(
            new(Least) { ["Agent:Interface"] = "eth0, eth1", ["Agent:AllowedDscp"] = "AF41, ef,0", ["Agent:IpfixCollector"] = "[2001:db8::1]:4739", ["Agent:WorkerSocket"] = "/tmp/a/w" }, out _)!;

        Assert.Equal(["eth0", "eth1"], options.Interfaces);
        Assert.Equal([0, 34, 46], options.AllowedDscp!.Select(d => (int)d.Value).Order());
        Assert.Equal("[2001:db8::1]:4739", options.IpfixCollector!.ToString());
        Assert.Equal("/tmp/a/h0-0-0.control.sock", options.ControlSocket);
    }

    [Fact]
    public void Read_SocketPathTooLong_IsAFault()
    {
        Assert.Null(Read(new(Least) { ["Agent:WorkerSocket"] = "/tmp/" + new string('x', 103) }, out var faults));
        Assert.Equal("Agent:WorkerSocket", Assert.Single(faults).Field);
    }

    [Fact]
    public void Read_Nothing_TellsAllThatIsMissing()
    {
        Assert.Null(Read([], out var faults));
        Assert.Equal(["Agent:Host", "Agent:Controllers", "Agent:Interface", "Agent:DataAddress"], faults.Select(f => f.Field));
    }

    [Fact]
    public void Read_PartsSwitchedOff_NeedNoInterfaceAndNoAddress()
    {
        Assert.NotNull(Read(
            new()
            {
                ["Agent:Host"] = "h",
                ["Agent:Controllers:0"] = "http://c",
                ["Agent:Capture"] = "false",
                ["Agent:Aggregate"] = "false",
            },
            out _));
    }

    [Fact]
    public void Parse_CommandLine_IsTakenApart()
    {
        var line = CommandLine.Parse(["run", "--Agent:Host=h0", "--agent:Controllers:0", "http://c=d", "--config", "x.json", "--check-config"], out var faults);

        Assert.Empty(faults);
        Assert.Equal((AgentCommand.Run, true, "x.json"), (line.Command, line.CheckConfig, line.ConfigFile));
        Assert.Equal("h0", line.Settings["Agent:Host"]);
        Assert.Equal("http://c=d", line.Settings["Agent:Controllers:0"]);
    }

    [Theory]
    [InlineData("--Agnet:Host=h0")]
    [InlineData("disable", "now")]
    [InlineData("--config")]
    [InlineData("--Agent:Host")]
    [InlineData("--Agent:Host", "--check-config")]
    [InlineData("flows", "a.pcap", "b.pcap")]
    [InlineData("flows", "a.pcap", "--mtu", "5")]
    [InlineData("run", "disable")]
    [InlineData("disable", "--config", "nope", "--check-config")]
    [InlineData("--check-config", "status")]
    [InlineData("flows", "--check-config")]
    [InlineData("flows", "--mtu", "9000")]
    [InlineData("run", "--local", "10.0.0.1")]
    [InlineData("run", "--config", "a", "--config", "b")]
    [InlineData("run", "--config", "--check-config")]
    public void Parse_NotUnderstood_IsAFault(params string[] arguments)
    {
        CommandLine.Parse(arguments, out var faults);
        Assert.NotEmpty(faults);
    }

    [Fact]
    public void Merge_CommandLineBeatsFile_AndFilesUnknownSectionIsAFault()
    {
        var path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, """{ "Agent": { "Host": "file", "DataPort": 7000, "Controllers": ["http://a", "http://b"] }, "Agnet": {} , "Loging": { "x": 1 } }""");
            var line = CommandLine.Parse(["--config", path, "--Agent:Host=line"], out _);

            var merged = line.Merge(out var faults);

            Assert.Equal(("line", "7000", "http://b"), (merged["Agent:Host"], merged["Agent:DataPort"], merged["Agent:Controllers:1"]));
            Assert.Contains(faults, f => f.Field.EndsWith("Loging", StringComparison.Ordinal));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData("{ \"Agent\": ")]
    public void Merge_FileMissingOrBroken_IsAFault(string? text)
    {
        var path = Path.GetTempFileName();
        try
        {
            if (text is null)
            {
                File.Delete(path);
            }
            else
            {
                File.WriteAllText(path, text);
            }

            CommandLine.Parse(["--config", path], out _).Merge(out var faults);

            var fault = Assert.Single(faults);
            Assert.Equal("--config", fault.Field);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static AgentOptions? Read(Dictionary<string, string?> settings, out IReadOnlyList<FieldFault> faults) =>
        AgentOptionsReader.Read(new ConfigurationBuilder().AddInMemoryCollection(settings).Build(), out faults);
}
