using MLNet.SDN.Cli.Plans;

namespace MLNet.SDN.Tests.Cli;

public class PlanCommandTests
{
    [Theory]
    [InlineData("http://127.0.0.1:8080")]
    [InlineData("https://controller/behind/a/proxy/")]
    public void Controller_Address_IsRead(string address)
    {
        var parsed = PlanCommand.Create().Parse(["explain", "bert", "--controller", address]);

        Assert.Empty(parsed.Errors);
        Assert.Equal(new Uri(address), parsed.GetValue<Uri>("--controller"));
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("localhost:8080")]
    [InlineData("ftp://controller")]
    [InlineData("http://")]
    public void Controller_ThatIsNoAddress_IsRefusedInASentence_WhereverItComesFrom(string address)
    {
        Assert.Contains("must be one such as", Assert.Single(PlanCommand.Create().Parse(["explain", "bert", "--controller", address]).Errors).Message, StringComparison.Ordinal);

        var before = Environment.GetEnvironmentVariable("MLNET_CONTROLLER");
        Environment.SetEnvironmentVariable("MLNET_CONTROLLER", address);
        try
        {
            Assert.Contains("must be one such as", Assert.Single(PlanCommand.Create().Parse(["explain", "bert"]).Errors).Message, StringComparison.Ordinal);
        }
        finally
        {
            Environment.SetEnvironmentVariable("MLNET_CONTROLLER", before);
        }
    }
}
