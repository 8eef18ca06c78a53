namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>
/// Ways to break the protocol on purpose. Each breaks a rule that the guarantees rest on, so that tests can show that they would notice.
/// Nothing outside of this assembly and its tests can set one.
/// </summary>
[Flags]
internal enum ProtocolFault
{
    None = 0,

    /// <summary>Sums go on from one epoch of a round to the next, and frames of any epoch are added to them.</summary>
    MergeAcrossEpochs = 1,

    /// <summary>An agent that was started anew does not read what its earlier life promised.</summary>
    ForgetPromise = 2,

    /// <summary>An epoch names another root on some hosts than on others.</summary>
    TwoSuccessors = 4,

    /// <summary>A round begins with the newest trees that its host holds, announced or not.</summary>
    UnannouncedSwitch = 8,
}
