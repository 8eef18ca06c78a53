using MLNet.SDN.Controller.Agents;

namespace MLNet.SDN.Tests.Controller.Agents;

public class AgentMessagesTests
{
    [Theory]
    [InlineData("nft: permission denied", "nft: permission denied")]
    [InlineData("a\nfail: 2005 forged\r\u001b[2J\u202eb\u2028c", "a fail: 2005 forged  [2J b c")]
    public void Printable_TextOfAnAgent_StaysOnItsLine(string text, string expected) => Assert.Equal(expected, AgentMessages.Printable(text));
}
