namespace MLNet.SDN.SystemTests;

/// <summary>What a test needs of the machine: lacking it skips the test where a person runs it, and fails it where CI does.</summary>
internal static class Prerequisites
{
    /// <summary>Goes on when it holds.</summary>
    /// <param name="reason">What is lacking and how to get it.</param>
    public static void Require(bool holds, string reason)
    {
        if (holds)
        {
            return;
        }

        if (string.Equals(Environment.GetEnvironmentVariable("CI"), "true", StringComparison.OrdinalIgnoreCase))
        {
            Assert.Fail(reason);
        }

        Assert.Skip(reason);
    }
}
